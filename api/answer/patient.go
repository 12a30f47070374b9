package answer

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// Patient is a request's body, of which each part may take as long as the limit: much may come; what counts is that some does.
func Patient(w http.ResponseWriter, r *http.Request, limit time.Duration) io.Reader {
	return patient{r.Body, http.NewResponseController(w), limit}
}

type patient struct {
	r     io.Reader
	c     *http.ResponseController
	limit time.Duration
}

func (p patient) Read(b []byte) (int, error) {
	if err := p.c.SetReadDeadline(time.Now().Add(p.limit)); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	if errors.Is(err, io.EOF) { // what is done with it may take long
		if err := p.c.SetReadDeadline(time.Time{}); err != nil {
			return n, err
		}
	}
	return n, err // io.EOF itself, for which readers look without errors.Is
}
