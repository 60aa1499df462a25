package control

import (
	_ "embed" // of the document
	"net/http"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// openAPI describes the API (OpenAPI 3.1). It is made of openapi.base.json and the schemas of plans, rows and counts by
// go test ./sink/control -run TestOpenAPI -update; the tests hold what is on the wire to it.
//
//go:embed openapi.json
var openAPI []byte

func getOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", api.TypeJSON)
	_, err := w.Write(openAPI)
	return ended(err)
}
