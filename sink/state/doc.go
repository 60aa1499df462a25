// Package state holds what the connections of a sink share: how often a client has connected, a sender has said MAIL, and a
// (sender, recipient) pair has met RCPT (Attempts); and token buckets, open connections and greylists (Limits). The ordinals are part
// of the keys from which faults are drawn, so that a retry meets a new draw and a replay meets the old one.
//
// Everything lies in one Store: lock shards chosen by hash, with a bound in octets for all of it, beyond which the oldest is forgotten and
// counted. It is safe for concurrent use.
// A plan whose rules need no ordinal and that has no limits never calls this package.
//
// Left out: clocks (a method that depends on time takes it as an argument), persistence, and the refusals that limits lead to. The
// ordinals compare addresses octet by octet: who wants two spellings to be one address folds them before. Limits compare them as
// rules do.
package state
