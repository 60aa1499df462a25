// Package plan reads plan files: strict YAML, format version 1, into a fault.Plan.
//
// Strict means that nothing is ignored: an unknown key, a key given twice, a value of the wrong type and a second document are
// errors, and every error is one line with file, line, column and key. A whole file, with every key there is:
//
//	version: 1
//	name: bad-weather                # optional, as is everything but version
//	description: one line or many
//	seed: 7
//	rules:                           # the first that matches decides
//	  - name: no bounces for bounces # default: rule N
//	    stage: rcpt
//	    match:                       # every key optional; all that are there must hold; lists hold if any member does
//	      listener: [mx1, mx2]
//	      client: [192.0.2.0/24, "2001:db8::1"]
//	      helo: [mail.example.com, "*.example.net"]
//	      sender: ["<>", user@example.com, "*@example.com", "*.example.net"]
//	      recipient: ["*@example.org"]
//	      attempt: 1-3               # of the (sender, recipient) pair; 3, 1-3 or 4-
//	      message: 21-               # of the connection
//	      connection: 1              # of the client
//	    reply: plain                 # or reply, or mode, or outcomes, or none: the plain reply
//	  - stage: rcpt
//	    outcomes:
//	      - {weight: 90}             # no reply: the plain one
//	      - {weight: 7, reply: 450, delay: "uniform(1s,3s)"}
//	      - {weight: 3, reply: {code: 550, enhanced: 5.1.1, text: [No such user, Try elsewhere]}}
//	    delay: lognormal(40ms,0.6)   # of each outcome that has none of its own
//	    key: recipient               # attempt (default), recipient, message or connection
//	  - stage: message
//	    mode: bounce                 # or {name: random, accept: 0.9, weights: {451: 5}}
//	    strict: false                # with mode only: keep its table whole
//
// Later versions of this program add keys; a file of version 1 keeps its meaning. The package leaves out what rules mean (package
// fault) and writes no files.
package plan
