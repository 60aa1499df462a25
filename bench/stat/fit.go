package stat

import "github.com/smtpstorm/xk6-smtp/sink/fit"

// Fit is the goodness of fit of one rule's draws against its weights.
type Fit = fit.Result
