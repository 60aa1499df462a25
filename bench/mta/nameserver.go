package mta

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers an MTA that asks the DNS where mail goes, whatever is configured: every name has the one address of the next hop, and
// no other record.
type nameServer struct {
	conn  *net.UDPConn
	ended chan struct{}
}

// openNameServer listens on port 53 of an address, which needs root, and answers with another address, both of IPv4.
func openNameServer(listen, answer string) (*nameServer, error) {
	var conn *net.UDPConn
	// A process that this one is starting has all our sockets until it becomes another program, one that was closed a moment ago, too.
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(pollInterval) {
		var err error
		if conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(listen), Port: 53}); err == nil {
			break
		}
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(end) {
			return nil, err
		}
	}
	address := [4]byte(net.ParseIP(answer).To4())
	s := &nameServer{conn: conn, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDP(buf)
			if err != nil {
				return // closed
			}
			if reply := nameReply(buf[:n], address); reply != nil {
				_, _ = conn.WriteToUDP(reply, from) // who doesn't get it asks again
			}
		}
	}()
	return s, nil
}

// Close ends it.
func (s *nameServer) Close() error {
	err := s.conn.Close()
	<-s.ended
	return err
}

// nameReply answers a query of one question; nil: that isn't one. A name that begins with an underscore, or with mta-sts, does not exist.
func nameReply(query []byte, address [4]byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil || header.Response {
		return nil
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 {
		return nil
	}
	q := questions[0]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, OpCode: header.OpCode, Authoritative: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: questions,
	}
	switch name := strings.ToLower(q.Name.String()); {
	case strings.HasPrefix(name, "_"), strings.HasPrefix(name, "mta-sts."):
		reply.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA && q.Class == dnsmessage.ClassINET:
		reply.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60},
			Body:   &dnsmessage.AResource{A: address},
		}}
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}
