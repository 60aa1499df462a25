package mta

import (
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"syscall"
	"time"
)

// nameServer answers an MTA that asks the DNS where mail goes, whatever is configured: every name has the one address of the next hop, and
// no other record. It speaks as much of RFC 1035 as that takes.
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
	s := &nameServer{conn: conn, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDP(buf)
			if err != nil {
				return // closed
			}
			if reply := nameReply(buf[:n], net.ParseIP(answer).To4()); reply != nil {
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
func nameReply(query []byte, address net.IP) []byte {
	const header, typeA, classIN = 12, 1, 1
	if len(query) < header || query[2]&0x80 != 0 || binary.BigEndian.Uint16(query[4:]) != 1 {
		return nil
	}
	end := header
	for end < len(query) && query[end] != 0 {
		if query[end] > 63 { // no label
			return nil
		}
		end += 1 + int(query[end])
	}
	end += 1 + 4 // the root, type and class
	if end > len(query) {
		return nil
	}
	first := strings.ToLower(string(query[header+1 : header+1+int(query[header])]))
	kind, class := binary.BigEndian.Uint16(query[end-4:]), binary.BigEndian.Uint16(query[end-2:])
	reply := append([]byte(nil), query[:end]...)
	reply[2], reply[3] = 0x84|query[2]&0x01, 0x80 // an authoritative answer; recursion as it was asked for, and available
	clear(reply[6:header])                        // no records
	switch {
	case strings.HasPrefix(first, "_") || first == "mta-sts":
		reply[3] |= 3 // no such name
	case kind == typeA && class == classIN:
		reply[7] = 1
		reply = append(reply, 0xc0, header, 0, typeA, 0, classIN, 0, 0, 0, 60, 0, net.IPv4len) // the name of the question; good for a minute
		reply = append(reply, address...)
	}
	return reply
}
