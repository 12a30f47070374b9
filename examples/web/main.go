// Web is the example workload: a small HTTP server that says which pod it is. It also does the things that show what
// Solopod does about them: /exit ends it, /allocate takes memory until the kernel steps in. Told to end, it answers what it
// has begun with.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// grace is how long requests may go on after SIGTERM.
const grace = 5 * time.Second

func main() {
	address := os.Getenv("LISTEN")
	if address == "" {
		address = ":8080"
	}
	hostname, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello from %s, process %d.\n", hostname, os.Getpid())
	})
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	http.HandleFunc("POST /exit", func(_ http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.FormValue("code"))
		if err != nil {
			code = 1
		}
		log.Printf("ending with code %d as asked", code)
		os.Exit(code)
	})
	http.HandleFunc("POST /allocate", func(http.ResponseWriter, *http.Request) {
		var held [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			held = append(held, b)
			log.Printf("holding %d MiB", len(held))
		}
	})
	log.Printf("listening on %s", address)
	server := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second}
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		<-told.Done()
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		ended <- server.Shutdown(ctx)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-ended; err != nil {
		log.Fatal("some requests were not answered: ", err)
	}
	log.Print("ended as told")
}
