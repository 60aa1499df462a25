package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// tally is how many rows of each sort the ledger has.
type tally struct {
	Connections  uint64 `json:"connections"`
	Transactions uint64 `json:"transactions"`
	Messages     uint64 `json:"messages"`
	Attempts     uint64 `json:"attempts"`
	Deliveries   uint64 `json:"deliveries"`
	Swaps        uint64 `json:"swaps"`
	Moves        uint64 `json:"storm_moves"`
	Resets       uint64 `json:"resets"`
	Nexts        uint64 `json:"attempts_met_by_next"`
	Gaps         uint64 `json:"gaps"`
	Stops        uint64 `json:"stops"`
}

// balance holds the clients' claims, the ledger and the counts against one another.
func (s *soaking) balance(rec *record, stats *api.Stats, dir string) error {
	var err error
	if rec.Ledger, err = tallyOf(s.sink.ledger); err != nil {
		return err
	}
	l := &rec.Ledger
	same := func(what string, one, other uint64, names string) {
		if one != other {
			s.complain("%s: %d by %s", what, one, fmt.Sprintf(names, other))
		}
	}
	rows := stats.Rows
	same("connections", l.Connections, rows.Connections, "the ledger, %d by /v1/stats")
	same("connections", l.Connections, uint64(s.connected.Load()), "the ledger, %d by those who opened them") // #nosec G115 -- a count is never negative
	same("transactions without RCPT", l.Transactions, rows.Transactions, "the ledger, %d by /v1/stats")
	same("bodies", l.Messages, rows.Messages, "the ledger, %d by /v1/stats")
	same("attempts", l.Attempts, rows.Attempts, "the ledger, %d by /v1/stats")
	same("deliveries", l.Deliveries, rows.Deliveries, "the ledger, %d by /v1/stats")
	same("swaps of plans", l.Swaps, uint64(s.steered.Swaps.Load()), "the ledger, %d by who swapped them") // #nosec G115 -- a count is never negative
	same("moves of the storm", l.Moves, uint64(s.steered.Moves.Load()), "the ledger, %d by who moved it") // #nosec G115 -- a count is never negative
	same("resets", l.Resets, uint64(s.steered.Resets.Load()), "the ledger, %d by who has reset")          // #nosec G115 -- a count is never negative
	same("gaps", l.Gaps, 0, "the ledger, want %d")
	same("orderly ends", l.Stops, 1, "the ledger, want %d")
	if stats.Counts.Open != 0 {
		s.complain("%d connections are open after the last client has gone", stats.Counts.Open)
	}

	result, err := s.judge(dir)
	if err != nil {
		return err
	}
	rec.judged(result)
	if result.Verdict.Exit != reconcile.ExitSound {
		s.complain("the judge: %s", result.Verdict.Sentence)
	}
	return nil
}

func tallyOf(path string) (t tally, err error) {
	file, err := os.Open(path) // #nosec G304 -- a file of ours
	if err != nil {
		return t, err
	}
	defer file.Close()
	_, err = ledger.Each(ledger.Input{Name: path, R: file}, func(row *event.Row) error {
		switch row.Kind {
		case event.KindConnection:
			t.Connections++
		case event.KindTransaction:
			t.Transactions++
		case event.KindMessage:
			t.Messages++
		case event.KindAttempt:
			t.Attempts++
			if row.Attempt.Delivered {
				t.Deliveries++
			}
			if strings.HasPrefix(row.Attempt.Cause, "next:") {
				t.Nexts++
			}
		case event.KindSwap:
			t.Swaps++
		case event.KindStorm:
			t.Moves++
		case event.KindReset:
			t.Resets++
		case event.KindGap:
			t.Gaps++
		case event.KindStop:
			t.Stops++
		}
		return nil
	})
	return t, err
}

// judge has the project's judge say what became of each claim. There is no queue, and nobody who would notify: both are known to be empty.
func (s *soaking) judge(dir string) (*reconcile.Result, error) {
	sent, err := os.Open(filepath.Join(dir, "sent.jsonl")) // #nosec G304 -- a file of ours
	if err != nil {
		return nil, err
	}
	defer sent.Close()
	rows, err := os.Open(s.sink.ledger)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return reconcile.Reconcile(reconcile.Inputs{
		Claims: ledger.Input{Name: sent.Name(), R: sent}, Ledgers: []ledger.Input{{Name: rows.Name(), R: rows}},
		Queue: ledger.Input{Name: "no queue", R: strings.NewReader("")}, KnowNotifications: true,
	}, reconcile.Options{})
}
