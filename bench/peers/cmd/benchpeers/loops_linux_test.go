package main

import "testing"

func TestSplit(t *testing.T) {
	for _, test := range []struct {
		cpus              []int
		server, generator string
		n                 int
	}{
		{[]int{0}, "0", "0", 1},
		{[]int{0, 1}, "0", "1", 1},
		{[]int{2, 3, 6, 7}, "2,3", "6,7", 2},
		{[]int{0, 1, 2}, "0", "1,2", 1},
	} {
		server, generator, n := split(test.cpus)
		if server != test.server || generator != test.generator || n != test.n {
			t.Errorf("%v: server %q, generator %q, %d; want %q, %q, %d", test.cpus, server, generator, n, test.server, test.generator, test.n)
		}
	}
}
