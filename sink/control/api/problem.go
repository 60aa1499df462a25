package api

import (
	"fmt"
	"strings"
)

// The media types.
const (
	TypeJSON    = "application/json"
	TypeYAML    = "application/yaml"
	TypeNDJSON  = "application/x-ndjson"
	TypeProblem = "application/problem+json"
	TypeStream  = "text/event-stream"
	TypeMessage = "message/rfc822"
)

// URN begins the type of each problem; what follows is one of the slugs below.
const URN = "urn:smtpstorm:problem:"

// The slugs of problems.
const (
	BadRequest       = "bad-request"        // 400
	TokenNeeded      = "token-needed"       // 401
	ForeignHost      = "foreign-host"       // 403: the Host is none of this sink's
	ForeignOrigin    = "foreign-origin"     // 403: a page of another site asks
	Role             = "role"               // 403: the token may only read
	NotFound         = "not-found"          // 404
	MethodNotAllowed = "method-not-allowed" // 405
	WrongState       = "wrong-state"        // 409
	Listeners        = "listeners"          // 409: the plan would open or close a listener
	EventsGone       = "events-gone"        // 410
	PlanChanged      = "plan-changed"       // 412
	TooLarge         = "too-large"          // 413
	MediaType        = "media-type"         // 415
	InvalidPlan      = "invalid-plan"       // 422
	InvalidOutcome   = "invalid-outcome"    // 422
	InvalidRequest   = "invalid-request"    // 422: any other document that is wrong
	IfMatchNeeded    = "if-match-needed"    // 428
	TooMany          = "too-many"           // 429
	Internal         = "internal"           // 500
	Stopping         = "stopping"           // 503
)

// Problem is what is wrong with a request (RFC 9457). It is an error.
type Problem struct {
	Type     string `json:"type"` // URN and the slug
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`             // one line for a person
	Instance string `json:"instance,omitempty"` // the path that was asked for
	Errors   []Flaw `json:"errors,omitempty"`
}

// Flaw is one thing that is wrong with the document of a request, and where.
type Flaw struct {
	Pointer string `json:"pointer,omitempty"` // JSON pointer (RFC 6901)
	Line    int    `json:"line,omitempty"`    // from 1
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Valid   string `json:"valid,omitempty"` // what would do
}

// Slug returns the part of the type that is the problem's own; empty for a foreign type.
func (p *Problem) Slug() string {
	slug, ok := strings.CutPrefix(p.Type, URN)
	if !ok {
		return ""
	}
	return slug
}

// Error implements error.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%d %s", p.Status, p.Title)
	}
	return p.Detail
}
