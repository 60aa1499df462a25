// Package plan reads plan files: strict YAML, format version 1, into a fault.Plan.
//
// Strict means that nothing is ignored: an unknown key, a key given twice, a value of the wrong type and a second document are
// errors, and every error is one line with file, line, column and key. A whole file, with every key there is:
//
//	version: 1
//	name: unreliable                 # optional, as is everything but version
//	description: one line or many
//	seed: 7
//	start: first-connection          # of the phases: this (the default), clock, or a time such as 2026-03-01T08:00:00Z
//	restart: false                   # true: the storm starts anew when this plan replaces another
//	listeners:                       # none: the server's own
//	  - name: mx1
//	    address: "127.0.0.1:2525"
//	    protocol: smtp
//	    tls: none
//	    max_size: 10MiB              # how it serves, where not as the server does; or none
//	    idle_timeout: 30s
//	    auth: [PLAIN, LOGIN]
//	    tls_versions: 1.2            # or 1.0-1.2, or 1.2-
//	    limits: {mailmax: 20, rcptmax: 50, rcptdomainmax: 1}   # LIMITS
//	    requiretls: accept           # or refuse, or off
//	    proxy_protocol: true         # each connection begins with a PROXY header
//	    xclient: loopback            # or networks: who may use XCLIENT
//	  - {name: mx2, address: "[::1]:2465", tls: implicit}
//	  - {name: store, address: "unix:/run/lmtp.sock", protocol: lmtp}
//	listener_faults: {store: none}   # none, refused, unaccepted or no-banner; "*" is every other listener
//	plain: {message: "Ok: queued as {{queue_id}}", rset: {enhanced: none, text: Flushed}}   # own words of plain replies
//	limits:                          # asked before all rules; the first that refuses decides
//	  - name: pace
//	    kind: rate                   # or concurrency, messages, recipients, size, greylist, quota
//	    scope: recipient-domain      # or a list that all count: client, network, helo, connection, sender, sender-domain, recipient; or all
//	    stage: rcpt                  # as the kind allows
//	    match: {listener: mx1}       # whom it is for
//	    except: {sender: "<>"}       # or a list: whom of these it is not for
//	    rate: 20/s                   # kind rate: tokens per s, m or h; per d with a burst
//	    burst: 40                    # kind rate; default: one second's tokens
//	    reply: {code: 451, enhanced: 4.7.1, text: "{{client}}, slow down"}
//	  - {name: crowd, kind: concurrency, scope: client, max: 10}
//	  - {name: size, kind: size, stage: message, max: 10MiB}
//	  - {name: grey, kind: greylist, delay: 25s, window: 4h}
//	  - {name: day, kind: quota, scope: [network/16/48, sender-domain], max: 500, per: 1d, from: clock}   # or from: first, the default
//	rules:                           # in every phase, before the phase's own; the first that matches decides
//	  - name: no bounces for bounces # default: rule N
//	    stage: rcpt
//	    match:                       # every key optional; all that are there must hold; lists hold if any member does
//	      listener: [mx1, mx2]
//	      client: [192.0.2.0/24, "2001:db8::1"]
//	      helo: [mail.example.com, "*.example.net"]
//	      sender: ["<>", user@example.com, "*@example.com", "*.example.net"]
//	      recipient: ["*@example.org", "bounce+*@", "abuse@*"]
//	      attempt: 1-3               # of the (sender, recipient) pair; 3, 1-3 or 4-
//	      message: 21-               # of the connection
//	      connection: 1              # of the client
//	      tls: true                  # or versions: 1.3, 1.0-1.1 or 1.2-
//	      size: 1KiB-10MiB           # as MAIL has declared it, at message as counted
//	      time: [08:00-18:00 Europe/Berlin, 22:00-06:00]   # UTC without a zone
//	      parameter: [PRDR, "AUTH=*"]   # of MAIL
//	    reply: plain                 # or reply, or mode, or outcomes, or none: the plain reply
//	  - stage: rcpt
//	    outcomes:
//	      - {weight: 90}             # no reply: the plain one
//	      - {weight: 7, reply: 450, delay: "uniform(1s,3s)"}
//	      - {weight: 3, reply: {code: 550, enhanced: 5.1.1, text: [No such user, Try elsewhere]}}
//	    delay: lognormal(40ms,0.6)   # of each outcome that has none of its own
//	    key: recipient               # attempt (default), recipient, message or connection
//	    except: {client: 192.0.2.1}  # or a list: whom of those that match it is not for
//	  - stage: message
//	    mode: bounce                 # or {name: random, accept: 0.9, weights: {451: 5}}
//	    strict: false                # with mode only: keep its table whole
//	phases:                          # a storm; afterwards only the plan's own rules and limits are left
//	  - name: brownout
//	    duration: 90s
//	    ramp: {from: 0, to: 1}       # share of the occurrences that the phase's rules apply to
//	    repeat: 1
//	    listener_faults: {mx1: no-banner}
//	    limits: [{name: batch, kind: recipients, max: 100}]
//	    rules:                       # with faults, of the rule itself or of one of its outcomes:
//	      - {stage: connect, match: {listener: mx2}, tls: expired}
//	      - {stage: ehlo, missing: [STARTTLS, PIPELINING]}
//	      - {stage: ehlo, reply: {code: 250, text: mx.example}, capabilities: [SIZE 1000, PIPELINING]}   # or all, or []
//	      - {stage: mail, match: {sequence: bad}, reply: 550}   # commands out of order, and no others
//	      - {stage: auth, match: {mechanism: NTLM, step: 1}, reply: {code: 334, text: TlRMTVNTUAACAAAA}}   # a reply for each step
//	      - {stage: starttls, raw: "220 go\r\n250 more\r\n"}   # own octets; or {base64: /w0K}
//	      - {stage: mail, reply: 451, dribble: {octets: 1, every: 1s}}
//	      - {stage: rcpt, reply: 450, malformed: missing-crlf}
//	      - {stage: vrfy, cut: {octets: 2, close: fin}}   # without close: held
//	      - {stage: helo, bandwidth: {in: 100B/s, out: none}}   # or 40kbit/s, both ways; to the connection's end or another
//	      - {stage: bdat, body: {after: 1KiB, reply: 421/4.3.2, close: fin}}
//	      - {stage: data, body: {after: 1MiB, stop_reading: true, for: 30s}}
//	      - stage: message
//	        match: {header: {x-priority: "1*"}, repeats: {received: 1-30}}
//	        outcomes:
//	          - {weight: 90}
//	          - {weight: 4, close: fin, delivery: keep}
//	          - {weight: 3, close: {mode: rst, when: after}}
//	          - {weight: 2, split: {packets: 3, pause: 200ms}}
//	          - {weight: 1, silence: true}
//	  - repeat: 4                    # a group: its phases in turn, four times
//	    phases:
//	      - {name: bad, duration: 20s, rules: [{stage: data, body: {after: 64KiB, close: rst}}]}
//	      - {name: good, duration: 10s}
//
// Later versions of this program add keys; a file of version 1 keeps its meaning. The package leaves out what rules mean (package
// fault) and writes no files. The format is defined once, in documentForm and the forms that it is made of: by them Parse reads, Encode
// writes, and Schema describes.
package plan
