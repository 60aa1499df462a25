package control

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// openLedger opens the ledger to be read, up to its last whole row.
func (s *Server) openLedger() (*os.File, int64, error) {
	if s.cfg.Ledger == "" {
		return nil, 0, problem(api.WrongState, "this sink keeps no ledger (smtpsink --ledger FILE does)")
	}
	file, err := os.Open(s.cfg.Ledger)
	if err != nil {
		return nil, 0, problem(api.Internal, "the ledger can't be read")
	}
	size, err := wholeRows(file)
	if err != nil {
		_ = file.Close() // it was read only
		return nil, 0, problem(api.Internal, "the ledger can't be read")
	}
	return file, size, nil
}

// wholeRows returns where the last line feed of a file ends: what follows is being written.
func wholeRows(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	var block [4 << 10]byte
	for end := info.Size(); end > 0; {
		n := min(end, int64(len(block)))
		if _, err := file.ReadAt(block[:n], end-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if at := bytes.LastIndexByte(block[:n], '\n'); at >= 0 {
			return end - n + int64(at) + 1, nil
		}
		end -= n
	}
	return 0, nil
}

func (s *Server) getLedger(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	file, size, err := s.openLedger()
	if err != nil {
		return err
	}
	defer file.Close()
	w.Header().Set("Content-Type", api.TypeNDJSON)
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(file, 0, size)) // it only grows: a range stays what it is
	return nil
}

// claimsWait is how long claims may take to come: their bound at 1 MiB a second, and some.
func (b *Bounds) claimsWait() time.Duration {
	return bodyTimeout + time.Duration(b.Claims>>20)*time.Second
}

// postJudge judges what became of the messages that the body claims to have sent. One judgement is made at a time: it has a price.
func (s *Server) postJudge(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	claims, _, err := s.body(w, r, int64(s.cfg.Bounds.Claims), s.cfg.Bounds.claimsWait(), api.TypeNDJSON)
	if err != nil {
		return err
	}
	select {
	case s.judging <- struct{}{}:
		defer func() { <-s.judging }()
	default:
		return problem(api.TooMany, "another judgement is being made (one is made at a time)")
	}
	file, size, err := s.openLedger()
	if err != nil {
		return err
	}
	defer file.Close()
	failed := &failedReader{r: claims, ended: func() { bodyRead(w) }}
	result, err := reconcile.Reconcile(reconcile.Inputs{
		Claims:  ledger.Input{Name: "claims", R: failed},
		Ledgers: []ledger.Input{{Name: "ledger", R: io.NewSectionReader(file, 0, size)}},
	}, reconcile.Options{})
	var input *jsonl.InputError
	switch {
	case failed.err != nil:
		return bodyProblem(failed.err)
	case errors.As(err, &input) && input.File == "claims":
		p := flawed(api.InvalidRequest, err)
		p.Errors[0].Line = input.Line
		return p
	case err != nil:
		return problem(api.Internal, "%v", err)
	}
	write(w, http.StatusOK, api.TypeJSON, result)
	return nil
}

// failedReader keeps the error that is not the end.
type failedReader struct {
	r     io.Reader
	ended func() // is called at the end
	err   error
}

func (f *failedReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		f.ended()
	case err != nil:
		f.err = err
	}
	return n, err
}
