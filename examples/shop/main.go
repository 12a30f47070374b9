// Shop is the example of an application of several pods: a small web shop that keeps its stock in Redis, which it finds by the name of a
// Service.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	hostname, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	db := database{address: os.Getenv("DATABASE"), password: os.Getenv("DATABASE_PASSWORD")}
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if _, err := db.do(r.Context(), "PING"); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		sold, err := db.do(r.Context(), "GET", "sold")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "%s: %s, %s sold so far.\n", hostname, os.Getenv("GREETING"), sold)
	})
	http.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		sold, err := db.do(r.Context(), "INCR", "sold")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s: order %s.\n", hostname, sold)
	})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		limited, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(limited); err != nil {
			log.Print(err)
		}
	}()
	log.Printf("listening on %s, stock in %s", server.Addr, db.address)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// database is a Redis server. Each command has a connection of its own: it is an example, and shows each time whether the name leads there.
type database struct{ address, password string }

// do sends a command and returns the answer (https://redis.io/docs/latest/develop/reference/protocol-spec/).
func (d database) do(ctx context.Context, words ...string) (answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.address)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // nothing is written any more
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	for _, command := range [][]string{{"AUTH", d.password}, words} {
		text := fmt.Sprintf("*%d\r\n", len(command))
		for _, word := range command {
			text += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			return "", err
		}
		if answer, err = reply(r); err != nil {
			return "", fmt.Errorf("the database says to %s: %w", command[0], err)
		}
	}
	return answer, nil
}

// mostAnswer bounds an answer, in bytes.
const mostAnswer = 1 << 10

func reply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case line == "$-1":
		return "0", nil
	case strings.HasPrefix(line, "-"):
		return "", errors.New(line[1:])
	case strings.HasPrefix(line, "$"):
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 || n > mostAnswer {
			return "", fmt.Errorf("a strange answer: %q", line)
		}
		data := make([]byte, n+2)
		if _, err := io.ReadFull(r, data); err != nil {
			return "", err
		}
		return string(data[:n]), nil
	case line == "":
		return "", errors.New("an empty answer")
	}
	return line[1:], nil
}
