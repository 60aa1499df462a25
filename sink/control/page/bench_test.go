package page_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
)

// BenchmarkView is what one open page asks for in a second, client and server together: its time is the share of a CPU that a viewer takes,
// at the most.
func BenchmarkView(b *testing.B) {
	server, _, url := start(b, nil)
	for n := range 500 {
		if _, err := send(server.Addr("").String(), "a@load.test", fmt.Sprintf("r%d@d%d.test", n, n%100)); err != nil {
			b.Fatal(err)
		}
	}
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for b.Loop() {
		for _, path := range []string{"/v1/stats", "/v1/next"} {
			response, err := client.Get(url + path)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
				b.Fatal(err, response.Status)
			}
			_ = response.Body.Close()
		}
	}
}
