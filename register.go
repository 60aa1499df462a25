// Package smtp registers the k6 extension: the JavaScript modules k6/x/smtp and k6/x/smtp/sink, and the output smtpstorm. xk6 imports the root of a
// module for its side effects only; everything else is in package xk6smtp.
package smtp

import (
	"go.k6.io/k6/v2/js/modules"
	"go.k6.io/k6/v2/output"

	"github.com/smtpstorm/xk6-smtp/xk6smtp"
)

func init() {
	root := xk6smtp.New()
	modules.Register(xk6smtp.ImportPath, root)
	modules.Register(xk6smtp.SinkImportPath, xk6smtp.NewSinkModule(root))
	output.RegisterExtension(xk6smtp.OutputName, root.NewOutput)
}
