package sink

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/smtpstorm/xk6-smtp/sink/conn"
	"github.com/smtpstorm/xk6-smtp/sink/dsn"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// DSNConfig says where the sink keeps the delivery status notifications that come to it: messages with the null sender (RFC 3461 section
// 6.1), and all that come to a listener that has Listener.DSN. The plan treats them as it does any message; those that are delivered
// are kept, before their sender is told so.
type DSNConfig struct {
	// Dir is a directory, which is made when it isn't there: dsn.jsonl and dsn/*.eml in it are what package reconcile judges. Those of an
	// earlier sink are gone on with. Empty means that notifications are messages like any other.
	Dir string
	// Failing, if not nil, is told when keeping them begins to fail, on another goroutine. Their senders are told 451 4.3.0 meanwhile.
	Failing func(error)
}

// How much is kept of a notification, and of all that are under way, in octets. MTAs return messages of 50 to 100 KB as a whole, and of
// larger ones their beginning or their header.
const (
	maxNotification  = 1 << 20
	maxNotifications = 64 << 20
)

// notifications keeps captured notifications. A goroutine writes them, so that a slow disk holds up their own senders only.
type notifications struct {
	dir     *dsn.Dir
	room    *session.Captures
	failing func(error)
	wake    chan struct{}
	done    chan struct{}

	mu      sync.Mutex
	queue   []notification // the first is being written
	closing bool
}

// notification is a message to be kept, and who waits for that.
type notification struct {
	ticket  uint64
	message *session.Captured
	who     conn.Committer // nil: nobody any more
}

// openNotifications opens the directory, unless none is wanted.
func openNotifications(cfg *DSNConfig) (*notifications, error) {
	if cfg.Dir == "" {
		return nil, nil
	}
	dir, err := dsn.Open(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("directory of notifications: %w", err)
	}
	n := &notifications{
		dir: dir, room: session.NewCaptures(maxNotification, maxNotifications), failing: cfg.Failing,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go n.write()
	return n, nil
}

// Keep implements conn.Keeper.
func (n *notifications) Keep(ticket uint64, m *session.Captured, who conn.Committer) {
	n.mu.Lock()
	n.queue = append(n.queue, notification{ticket, m, who})
	n.mu.Unlock()
	n.look()
}

// look makes the goroutine look at the queue.
func (n *notifications) look() {
	select {
	case n.wake <- struct{}{}:
	default: // it will
	}
}

// Forget implements conn.Keeper. A message of which no row is written yet does not count then.
func (n *notifications) Forget(who conn.Committer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.queue {
		if n.queue[i].who == who {
			n.queue[i].who = nil
		}
	}
}

// write writes what comes until close.
func (n *notifications) write() {
	defer close(n.done)
	failed := false
	for {
		n.mu.Lock()
		closing, next := n.closing, notification{}
		if len(n.queue) > 0 {
			next = n.queue[0]
		}
		n.mu.Unlock()
		if next.message == nil {
			if closing {
				return
			}
			<-n.wake
			continue
		}
		m := next.message
		err := n.dir.Keep(&dsn.Message{To: string(m.Recipient), Octets: m.Octets, Size: m.Size, Time: m.Time}, n.waitedFor)
		n.room.Release(m)
		n.mu.Lock()
		who := n.queue[0].who
		n.queue = slices.Delete(n.queue, 0, 1)
		n.mu.Unlock()
		if who != nil {
			who.Committed(next.ticket, err)
		}
		if given := errors.Is(err, dsn.ErrUnwanted); !given && err != nil && !failed && n.failing != nil {
			n.failing(err)
		}
		failed = err != nil
	}
}

// waitedFor reports whether somebody waits for the message that is being written.
func (n *notifications) waitedFor() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.queue[0].who != nil
}

// close writes what is left and ends the use of the directory.
func (n *notifications) close() error {
	n.mu.Lock()
	n.closing = true
	n.mu.Unlock()
	n.look()
	<-n.done
	return n.dir.Close()
}
