// Package smtp registers the k6 extension: the JavaScript modules k6/x/smtp and k6/x/smtp/sink, the output smtpstorm, and the subcommand k6 x smtp. xk6 imports the root of a
// module for its side effects only; everything else is in package xk6smtp.
package smtp

import (
	"fmt"
	"os"

	"go.k6.io/k6/v2/js/modules"
	"go.k6.io/k6/v2/output"
	"go.k6.io/k6/v2/subcommand"

	"github.com/smtpstorm/xk6-smtp/xk6smtp"
)

func init() {
	root := xk6smtp.New()
	modules.Register(xk6smtp.ImportPath, root)
	modules.Register(xk6smtp.SinkImportPath, xk6smtp.NewSinkModule(root))
	output.RegisterExtension(xk6smtp.OutputName, root.NewOutput)
	subcommand.RegisterExtension(xk6smtp.CommandName, xk6smtp.NewCommand)
	if err := xk6smtp.KeepQuiet(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "k6:", err)
		os.Exit(1)
	}
}
