package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// soaking is what is shared while it lasts.
type soaking struct {
	options *options
	sink    *sinkProcess
	claims  *claims

	connected   atomic.Int64 // connections that clients opened
	failedDials atomic.Int64
	sent        atomic.Int64 // messages that are over
	late        atomic.Int64 // instants at which nobody was free to send
	misbehaved  []atomic.Int64
	steered     steered

	mu       sync.Mutex
	findings []string
	samples  []sample
}

// maxFindings bounds the list: what is wrong all the time is wrong enough.
const maxFindings = 20

func (s *soaking) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.findings) < maxFindings {
		s.findings = append(s.findings, fmt.Sprintf(format, args...))
	}
}

// settling is how long the sink has to close what clients have left, and its runtime to put goroutines away.
const settling = 30 * time.Second

// soak runs it all, and looks at what is left. The error says that it could not; what was found to be wrong is in the record.
func soak(ctx context.Context, o *options, dir string, progress io.Writer) (*record, error) {
	s := &soaking{options: o, misbehaved: make([]atomic.Int64, len(rogues))}
	var err error
	if s.claims, err = newClaims(filepath.Join(dir, "sent.jsonl")); err != nil {
		return nil, err
	}
	if s.sink, err = startSink(ctx, o.sink, dir); err != nil {
		return nil, err
	}
	ended := false
	defer func() {
		if !ended {
			_ = s.sink.kill()
		}
	}()
	start := time.Now()
	if err := s.load(ctx, start, progress); err != nil {
		return nil, err
	}
	rec := s.newRecord(start)
	left, err := s.settle(start, s.samples[0])
	if err != nil {
		return nil, err
	}
	rec.Left = left
	stats, err := s.sink.api.Stats(context.Background(), nil)
	if err != nil {
		return nil, err
	}
	ended = true
	if err := s.sink.stop(); err != nil {
		s.complain("%v", err)
	}
	if err := s.claims.close(); err != nil {
		return nil, err
	}
	fmt.Fprintln(progress, "judging")
	if err := s.balance(rec, &stats, dir); err != nil {
		return nil, err
	}
	rec.Findings = s.findings
	return rec, nil
}

// samples is about how many are taken of a long run: a scrape of a sink that has met all kinds of replies costs milliseconds.
const samples = 720

// load has everything happen for the duration, or until the context ends, and takes a sample a second, or fewer of a long run.
func (s *soaking) load(ctx context.Context, begin time.Time, progress io.Writer) error {
	// What a sink that has served nobody has open is what it shall have open again at the end.
	first, err := s.sink.sample(ctx, begin)
	if err != nil {
		return err
	}
	s.samples = append(s.samples, first)
	ctx, cancel := context.WithTimeout(ctx, s.options.duration)
	defer cancel()
	var wg sync.WaitGroup
	instants := make(chan struct{}, s.options.senders)
	for i := range s.options.senders {
		w := &sender{soaking: s, random: rand.New(rand.NewPCG(s.options.seed, 100+uint64(i)))} // #nosec G115 G404 -- no secret
		wg.Go(func() { w.work(instants) })                                                     // a message under way is sent to its end
	}
	for i := range s.options.rogues {
		wg.Go(func() { s.misbehave(ctx, i) })
	}
	s.steer(ctx, wg.Go)
	wg.Go(func() { // an open loop: nobody's slowness holds up the others, as long as one is free
		defer close(instants)
		tick := time.NewTicker(time.Second / time.Duration(s.options.rate))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case instants <- struct{}{}:
			default:
				s.late.Add(1)
			}
		}
	})
	tick, shown := time.NewTicker(max(time.Second, s.options.duration/samples)), begin
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			x, err := s.sink.sample(context.WithoutCancel(ctx), begin)
			if err != nil {
				s.complain("GET /metrics: %v", err)
				if !s.lives() {
					cancel()
				}
				break
			}
			s.samples = append(s.samples, x)
			if time.Since(shown) > 30*time.Second {
				shown = time.Now()
				fmt.Fprintf(progress, "%v: %d messages, %d plans, %.1f MiB resident, %.1f in use, %.0f goroutines, %.0f descriptors\n",
					time.Since(begin).Round(time.Second), s.sent.Load(), s.steered.Swaps.Load(), x.Resident/(1<<20), x.Heap/(1<<20), x.Goroutines, x.Descriptors)
			}
		}
	}
	wg.Wait()
	return nil
}

// lives reports whether the sink has not ended yet.
func (s *soaking) lives() bool {
	select {
	case err := <-s.sink.ended:
		s.complain("the sink has ended: %v: %s", err, s.sink.stderr)
		return false
	default:
		return true
	}
}

// settle waits until the sink has no more descriptors than it had before anybody came, and no more goroutines but the idle workers that it
// keeps for TLS, of which there never were more than clients at a time; for a while at most. It returns what is left then.
func (s *soaking) settle(begin time.Time, before sample) (sample, error) {
	s.sink.api.Close()
	deadline := time.Now().Add(settling)
	goroutines := before.Goroutines + float64(s.options.senders+s.options.rogues)
	for {
		now, err := s.sink.sample(context.Background(), begin)
		if err != nil {
			return now, fmt.Errorf("after the load: %w; the sink has said: %s", err, s.sink.stderr)
		}
		if now.Descriptors <= before.Descriptors && now.Goroutines <= goroutines {
			return now, nil
		}
		if time.Now().After(deadline) {
			s.complain("%v after the last client %.0f descriptors and %.0f goroutines are left; there were %.0f before the first, and may be %.0f",
				settling, now.Descriptors, now.Goroutines, before.Descriptors, goroutines)
			return now, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
}
