package session

import (
	"testing"
	"unsafe"
)

func TestSizeOfAnIdleSession(t *testing.T) {
	if size := unsafe.Sizeof(Session{}); size > 256 {
		t.Errorf("a session takes %d octets; want at most 256, which idle connections pay", size)
	}
}
