package client

import (
	"errors"
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Causes that an *Error can wrap beside those of package net and *smtp.ReplySyntaxError.
var (
	// ErrTimeout is a wait that exceeded Config.Timeouts.
	ErrTimeout = errors.New("timeout")
	// ErrAborted is a context that ended, or a Conn that was closed, while an operation was under way. The context's own
	// cause is wrapped beside it.
	ErrAborted = errors.New("aborted")
	// ErrConnectionClosed is a connection that the server ended where a reply was due.
	ErrConnectionClosed = errors.New("connection closed by the server")
	// ErrUnexpectedData is data from the server that no command had asked for.
	ErrUnexpectedData = errors.New("reply without a command")
)

// MissingExtensionError is a message that the server has no extension for: nothing was written, and the connection stands.
type MissingExtensionError struct {
	// Extension is the EHLO keyword that the server did not announce.
	Extension string
	// Need is what the message has that it is needed for.
	Need string
}

// Error returns one line.
func (e *MissingExtensionError) Error() string {
	return fmt.Sprintf("%s needs %s, which the server does not offer", e.Need, e.Extension)
}

// Error is a dialogue that broke, or that the server refused to begin, and then the connection is closed; or a message that the server
// can't take, a *MissingExtensionError, and then it stands.
type Error struct {
	// Phase is where it happened.
	Phase smtp.Stage
	// Code and Enhanced are the reply that ended the dialogue; Code is 0 when no reply did.
	Code     smtp.Code
	Enhanced smtp.Enhanced
	// Text is that reply's text, lines separated by "\n".
	Text string
	// Err is the cause when no reply was. With a Code it is what happened after that reply, and ended the dialogue too.
	Err error
}

// Error returns one line: the phase and what happened.
func (e *Error) Error() string {
	if e.Code == 0 {
		return smtp.Visible(fmt.Sprintf("%v: %v", e.Phase, e.Err))
	}
	reply := smtp.Reply{Code: e.Code, Enhanced: e.Enhanced, Lines: strings.Split(e.Text, "\n")}
	line := fmt.Sprintf("%v: %v", e.Phase, &reply)
	if e.Err != nil {
		line += "; then " + smtp.Visible(e.Err.Error())
	}
	return line
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// EnvelopeError is an envelope that can't be sent: nothing was written.
type EnvelopeError struct {
	// Field is "from" or "to".
	Field string
	// Address is the culprit; empty when there was none.
	Address string
	// Problem says what is wrong.
	Problem string
}

// Error returns one line that names the field and the address.
func (e *EnvelopeError) Error() string {
	if e.Address == "" {
		return fmt.Sprintf("envelope: %s: %s", e.Field, e.Problem)
	}
	return fmt.Sprintf("envelope: %s: %q: %s", e.Field, e.Address, e.Problem)
}
