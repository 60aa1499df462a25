package mta

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// syslogSocket takes what daemons say to syslog(3), and writes it to a file as syslogd does, in the format with precise times that rsyslog
// calls RSYSLOG_FileFormat.
type syslogSocket struct {
	conn  *net.UnixConn
	ended chan error
}

// openSyslog listens on a socket, which it makes, and appends to a file.
func openSyslog(socket, file string) (*syslogSocket, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	log, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644) // #nosec G302 G304 -- in the instance's own folder
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err == nil {
		err = os.Chmod(socket, 0o666) // #nosec G302 -- as /dev/log: daemons of any user log
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	s := &syslogSocket{conn: conn, ended: make(chan error, 1)}
	go func() { s.ended <- errors.Join(s.receive(log), log.Close()) }()
	return s, nil
}

func (s *syslogSocket) receive(log *os.File) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := s.conn.Read(buf)
		if err != nil || n == 0 { // Close sends nothing, which no syslog(3) does
			return err
		}
		if _, err := log.Write(syslogLine(buf[:n], time.Now())); err != nil {
			return err
		}
	}
}

// syslogLine makes a line of what glibc's syslog(3) sends: "<22>Nov 27 03:25:30 sendmail[13]: text".
func syslogLine(said []byte, now time.Time) []byte {
	if end := bytes.IndexByte(said, '>'); end > 0 && said[0] == '<' {
		said = said[end+1:]
	}
	const stamp = len("Nov 27 03:25:30 ")
	if len(said) > stamp && said[stamp-1] == ' ' {
		said = said[stamp:]
	}
	said = bytes.ReplaceAll(bytes.Trim(said, "\x00\n"), []byte("\n"), []byte(" "))
	return fmt.Appendf(nil, "%s localhost %s\n", now.UTC().Format("2006-01-02T15:04:05.000000Z07:00"), said)
}

// Close ends it once everything that was said is written.
func (s *syslogSocket) Close() error {
	end, err := net.DialUnix("unixgram", nil, s.conn.LocalAddr().(*net.UnixAddr))
	if err == nil {
		_, err = end.Write(nil)
		err = errors.Join(err, end.Close())
	}
	if err == nil {
		err = <-s.ended
	}
	return errors.Join(err, s.conn.Close())
}
