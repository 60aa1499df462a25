package ledger

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The Append functions append one row as one JSON line, with its line feed, and return the extended slice. They allocate nothing
// when dst is large enough. Members that are absent (0, empty, false) and optional are left out.

// Append appends the row as one JSON line with its line feed.
func Append(dst []byte, r *event.Row) []byte {
	switch r.Kind {
	case event.KindStart:
		return AppendStart(dst, &r.Start)
	case event.KindConnection:
		return AppendConnection(dst, &r.Connection)
	case event.KindTransaction:
		return appendTransaction(dst, &r.Transaction, RoomWide)
	case event.KindAttempt:
		return appendAttempt(dst, &r.Attempt, RoomWide)
	case event.KindSwap:
		return AppendSwap(dst, &r.Swap)
	case event.KindGap:
		return AppendGap(dst, &r.Gap)
	case event.KindMessage:
		return AppendMessage(dst, &r.Message)
	case event.KindTold:
		return AppendTold(dst, &r.Told)
	case event.KindPhase:
		return AppendPhase(dst, &r.Phase)
	case event.KindStop:
		return AppendStop(dst, &r.Stop)
	case event.KindStorm:
		return AppendStorm(dst, &r.Storm)
	case event.KindReset:
		return AppendReset(dst, &r.Reset)
	case event.KindStanding:
		return AppendStanding(dst, &r.Standing)
	}
	return dst
}

// AppendStart appends the row that starts a run.
func AppendStart(dst []byte, h *event.Start) []byte {
	dst = append(dst, `{"kind":"start","format":"`+Format+`"`...)
	dst = appendOptional(dst, `,"run":`, h.Run)
	dst = appendTime(dst, `,"time":`, h.Time)
	var cut cuts // of what the user names: nothing to tell
	dst = appendCut(dst, `,"plan":`, h.Plan, &cut, 0)
	dst = appendText(dst, `,"plan_hash":`, h.PlanHash)
	dst = appendUint(dst, `,"seed":`, h.Seed)
	dst = append(dst, `,"durability":"`...)
	dst = append(append(dst, h.Durability.String()...), '"')
	dst = appendOptional(dst, `,"reactions":`, h.Reactions)
	return append(dst, "}\n"...)
}

// AppendSwap appends the row of a plan swap.
func AppendSwap(dst []byte, s *event.Swap) []byte {
	dst = appendTime(dst, `{"kind":"swap","time":`, s.Time)
	var cut cuts // of what the user names: nothing to tell
	dst = appendCut(dst, `,"plan":`, s.Plan, &cut, 0)
	dst = appendText(dst, `,"plan_hash":`, s.PlanHash)
	dst = appendUint(dst, `,"seed":`, s.Seed)
	dst = appendFlag(dst, `,"restart":true`, s.Restart)
	dst = appendOptional(dst, `,"reactions":`, s.Reactions)
	return append(dst, "}\n"...)
}

// AppendGap appends the row that stands for missing rows.
func AppendGap(dst []byte, g *event.Gap) []byte {
	dst = appendUint(dst, `{"kind":"gap","rows":`, g.Rows)
	var cut cuts
	dst = appendCut(dst, `,"error":`, g.Error, &cut, 0)
	return append(dst, "}\n"...)
}

// AppendConnection appends the row of a connection.
func AppendConnection(dst []byte, c *event.Connection) []byte {
	cut := cutsOf(c.Cut)
	dst = appendCommon(dst, `{"kind":"connection","conn":`, c.Conn, c.Listener, c.Client, c.Time, c.End, &cut)
	dst = appendClient(dst, `,"via":"`, c.Via)
	dst = appendCutOptional(dst, `,"phase":`, c.Phase, &cut, cutPhase)
	dst = appendCutOptional(dst, `,"helo":`, c.Helo, &cut, cutHelo)
	dst = appendFlag(dst, `,"extended":true`, c.Extended)
	dst = appendOptional(dst, `,"tls":`, c.TLS)
	dst = appendUint(dst, `,"messages":`, c.Messages)
	dst = appendUint(dst, `,"attempts":`, c.Attempts)
	dst = appendUint(dst, `,"delivered":`, c.Delivered)
	dst = appendUint(dst, `,"octets_in":`, c.OctetsIn)
	dst = appendUint(dst, `,"octets_out":`, c.OctetsOut)
	if c.Undeclared8Bit > 0 {
		dst = appendUint(dst, `,"undeclared_8bit":`, c.Undeclared8Bit)
	}
	dst = appendFlag(dst, `,"pregreet":true`, c.Pregreet)
	dst = appendOptional(dst, `,"user":`, c.User)
	if c.Injections > 0 {
		dst = appendUint(dst, `,"injections":`, c.Injections)
	}
	if c.BadSwitches > 0 {
		dst = appendUint(dst, `,"bad_switches":`, c.BadSwitches)
	}
	dst = appendOptional(dst, `,"bad_switch":`, c.BadSwitch)
	if c.LongHeaders > 0 {
		dst = appendUint(dst, `,"long_headers":`, c.LongHeaders)
	}
	if c.Code != 0 {
		dst = appendReply(dst, c.Stage, c.Code, c.Enhanced)
		dst = appendCutOptional(dst, `,"text":`, c.Text, &cut, cutText)
	}
	if r := &c.Refusal; r.Code != 0 {
		dst = append(append(append(dst, `,"refused":"`...), r.Stage.String()...), '"')
		dst = appendUint(dst, `,"refused_code":`, uint64(r.Code))
		if !r.Enhanced.IsZero() {
			dst = append(r.Enhanced.Append(append(dst, `,"refused_enhanced":"`...)), '"')
		}
		dst = appendCutOptional(dst, `,"refused_cause":`, r.Cause, &cut, cutRefusedCause)
	}
	dst = appendCutOptional(dst, `,"cause":`, c.Cause, &cut, cutCause)
	dst = appendCutOptional(dst, `,"fault":`, c.Fault, &cut, cutFault)
	dst = appendCut(dst, `,"reason":`, c.Reason, &cut, cutReason)
	dst = appendCutOptional(dst, `,"error":`, c.Error, &cut, cutError)
	dst = appendOptional(dst, `,"told":`, c.Told.String())
	dst = appendCuts(dst, cut)
	return append(dst, "}\n"...)
}

// appendTransaction appends the row of a transaction that died before RCPT.
func appendTransaction(dst []byte, t *event.Transaction, room Room) []byte {
	cut := cutsOf(t.Cut)
	dst = appendCommon(dst, `{"kind":"transaction","conn":`, t.Conn, t.Listener, t.Client, t.Time, t.End, &cut)
	dst = appendCount(dst, `,"message":`, t.Message)
	dst = appendCutOptional(dst, `,"phase":`, t.Phase, &cut, cutPhase)
	dst = appendShared(dst, `,"sender":`, t.Sender, room, &cut, cutSender)
	dst = appendCount(dst, `,"n":`, t.N)
	dst = appendShared(dst, `,"token":`, t.Token, room, &cut, cutToken)
	dst = appendEnding(dst, t.Ending)
	dst = appendReply(dst, t.Stage, t.Code, t.Enhanced)
	if t.Text != "" {
		dst = appendShared(dst, `,"text":`, t.Text, room, &cut, cutText)
	}
	dst = appendCutOptional(dst, `,"cause":`, t.Cause, &cut, cutCause)
	dst = appendCutOptional(dst, `,"fault":`, t.Fault, &cut, cutFault)
	dst = appendBool(dst, `,"reply_sent":`, t.ReplySent)
	dst = appendInstant(dst, `,"handed":`, t.Handed)
	dst = appendFlag(dst, `,"ambiguous":true`, t.Ambiguous)
	dst = appendCuts(dst, cut)
	return append(dst, "}\n"...)
}

// appendAttempt appends the final row of a RCPT command.
func appendAttempt(dst []byte, a *event.Attempt, room Room) []byte {
	cut := cutsOf(a.Cut)
	dst = appendCommon(dst, `{"kind":"attempt","conn":`, a.Conn, a.Listener, a.Client, a.Time, a.End, &cut)
	dst = appendCount(dst, `,"message":`, a.Message)
	dst = appendCutOptional(dst, `,"phase":`, a.Phase, &cut, cutPhase)
	dst = appendShared(dst, `,"sender":`, a.Sender, room, &cut, cutSender)
	dst = appendCut(dst, `,"recipient":`, a.Recipient, &cut, cutRecipient)
	dst = appendCount(dst, `,"n":`, a.N)
	dst = appendShared(dst, `,"token":`, a.Token, room, &cut, cutToken)
	dst = appendSharedID(dst, `,"storm_id":`, a.StormID, room, &cut, cutStormID)
	dst = appendSharedID(dst, `,"message_id":`, a.MessageID, room, &cut, cutMessageID)
	dst = appendCutOptional(dst, `,"orcpt":`, a.ORCPT, &cut, cutORCPT)
	dst = appendInstant(dst, `,"mail":`, a.Mail)
	dst = appendEnding(dst, a.Ending)
	dst = appendReply(dst, a.Stage, a.Code, a.Enhanced)
	if a.Text != "" {
		dst = appendShared(dst, `,"text":`, a.Text, room, &cut, cutText)
	}
	dst = appendCutOptional(dst, `,"cause":`, a.Cause, &cut, cutCause)
	dst = appendCutOptional(dst, `,"fault":`, a.Fault, &cut, cutFault)
	dst = appendBool(dst, `,"delivered":`, a.Delivered)
	dst = appendBool(dst, `,"reply_sent":`, a.ReplySent)
	dst = appendInstant(dst, `,"handed":`, a.Handed)
	dst = appendFlag(dst, `,"ambiguous":true`, a.Ambiguous)
	dst = appendCount(dst, `,"size":`, uint64(max(a.Size, 0))) // #nosec G115 -- not negative
	dst = appendFlag(dst, `,"amends":true`, a.Amends)
	dst = appendCuts(dst, cut)
	return append(dst, "}\n"...)
}

// AppendMessage appends the row of what is the message's own.
func AppendMessage(dst []byte, m *event.Message) []byte {
	dst = appendUint(dst, `{"kind":"message","conn":`, m.Conn)
	dst = appendUint(dst, `,"message":`, m.Message)
	dst = appendTime(dst, `,"time":`, m.Time)
	if m.Headers {
		var cut cuts // readers cut what they compare with at the same length: nothing to tell
		dst = appendCut(dst, `,"storm_id":`, m.StormID, &cut, cutStormID)
		dst = appendCut(dst, `,"message_id":`, m.MessageID, &cut, cutMessageID)
	}
	if m.Hashed {
		dst = jsonl.AppendHash(append(dst, `,"body_xxh64":`...), m.Body)
		dst = appendUint(dst, `,"size":`, uint64(max(m.Size, 0))) // #nosec G115 -- not negative
	}
	if m.QueueID != 0 {
		dst = append(dst, `,"queue_id":"`...)
		dst = append(smtp.AppendQueueID(dst, m.QueueID), '"')
	}
	dst = appendFlag(dst, `,"seven_bit":true`, m.SevenBit)
	return append(dst, "}\n"...)
}

// AppendTold appends the row that says of one reply whether the client knows it.
func AppendTold(dst []byte, t *event.Exception) []byte {
	dst = appendUint(dst, `{"kind":"told","conn":`, t.Conn)
	dst = appendUint(dst, `,"message":`, t.Message)
	var cut cuts // as in the attempt, which tells
	dst = appendCutOptional(dst, `,"recipient":`, t.Recipient, &cut, cutRecipient)
	dst = appendText(dst, `,"told":`, t.Told.String())
	return append(dst, "}\n"...)
}

// AppendPhase appends the row of a phase that begins.
func AppendPhase(dst []byte, p *event.Phase) []byte {
	dst = appendTime(dst, `{"kind":"phase","time":`, p.Time)
	dst = appendText(dst, `,"phase":`, p.Phase)
	return append(dst, "}\n"...)
}

// AppendStorm appends the row of a storm's clock that was moved.
func AppendStorm(dst []byte, s *event.Storm) []byte {
	dst = appendTime(dst, `{"kind":"storm","time":`, s.Time)
	dst = appendText(dst, `,"action":`, s.Action)
	dst = appendText(dst, `,"phase":`, s.Phase)
	dst = appendUint(dst, `,"index":`, s.Index)
	if s.By > 0 {
		dst = appendUint(dst, `,"by_ns":`, uint64(s.By)) // #nosec G115 -- it is not negative here
	}
	return append(dst, "}\n"...)
}

// AppendReset appends the row that begins an epoch.
func AppendReset(dst []byte, r *event.Reset) []byte {
	dst = appendTime(dst, `{"kind":"reset","time":`, r.Time)
	dst = appendUint(dst, `,"epoch":`, r.Epoch)
	dst = appendFlag(dst, `,"state":true`, r.State)
	return append(dst, "}\n"...)
}

// AppendStanding appends the row of a standing that has begun or changed.
func AppendStanding(dst []byte, s *event.Standing) []byte {
	cut := cutsOf(s.Cut)
	dst = appendTime(dst, `{"kind":"standing","time":`, s.Time)
	dst = appendCount(dst, `,"conn":`, s.Conn)
	dst = appendCut(dst, `,"react":`, s.React, &cut, cutReact)
	dst = jsonl.AppendHash(append(dst, `,"reaction":`...), s.Reaction)
	dst = appendCut(dst, `,"key":`, s.Key, &cut, cutWhose)
	dst = append(hex.AppendEncode(append(dst, `,"fingerprint":"`...), s.Fingerprint[:]), '"')
	dst = appendUint(dst, `,"from":`, s.From)
	dst = appendUint(dst, `,"to":`, s.To)
	dst = appendInstant(dst, `,"until":`, s.Until)
	dst = appendText(dst, `,"reason":`, s.Reason)
	if s.Conn != 0 {
		dst = appendReply(dst, s.Stage, s.Code, s.Enhanced)
		dst = appendCutOptional(dst, `,"cause":`, s.Cause, &cut, cutCause)
	}
	dst = appendCuts(dst, cut)
	return append(dst, "}\n"...)
}

// AppendStop appends the last row of a run.
func AppendStop(dst []byte, s *event.Stop) []byte {
	dst = appendTime(dst, `{"kind":"stop","time":`, s.Time)
	if s.Rows > 0 {
		dst = appendUint(dst, `,"rows":`, s.Rows)
	}
	return append(dst, "}\n"...)
}

func appendCommon(dst []byte, key string, conn uint64, listener string, client netip.AddrPort, from, to time.Time, cut *cuts) []byte {
	dst = appendUint(dst, key, conn)
	dst = appendCut(dst, `,"listener":`, listener, cut, cutListener)
	dst = appendClient(dst, `,"client":"`, client)
	dst = appendTime(dst, `,"time":`, from)
	return appendTime(dst, `,"end":`, to)
}

// appendClient appends an address and port behind a key, which ends with the quote before them; nothing when it is invalid.
func appendClient(dst []byte, key string, client netip.AddrPort) []byte {
	if client.IsValid() {
		dst = append(dst, key...)
		if client.Addr().Zone() == "" {
			dst = append(client.AppendTo(dst), '"')
		} else { // a zone may hold any character
			dst = jsonl.AppendString(dst[:len(dst)-1], client.String())
		}
	}
	return dst
}

func appendEnding(dst []byte, e event.Ending) []byte {
	dst = append(dst, `,"ending":"`...)
	dst = append(dst, e.String()...)
	return append(dst, '"')
}

func appendReply(dst []byte, s smtp.Stage, code smtp.Code, e smtp.Enhanced) []byte {
	dst = append(dst, `,"stage":"`...)
	dst = append(dst, s.String()...)
	dst = append(dst, '"')
	dst = appendCount(dst, `,"code":`, uint64(code))
	if !e.IsZero() {
		dst = append(dst, `,"enhanced":"`...)
		dst = append(e.Append(dst), '"')
	}
	return dst
}

// appendTime appends the instant behind its key.
func appendTime(dst []byte, key string, t time.Time) []byte {
	return jsonl.AppendTime(append(dst, key...), t)
}

// appendInstant appends the instant unless it is the zero one.
func appendInstant(dst []byte, key string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return appendTime(dst, key, t)
}

func appendText[T string | []byte](dst []byte, key string, s T) []byte {
	return jsonl.AppendString(append(dst, key...), s)
}

func appendOptional[T string | []byte](dst []byte, key string, s T) []byte {
	if len(s) == 0 {
		return dst
	}
	return appendText(dst, key, s)
}

func appendUint(dst []byte, key string, n uint64) []byte {
	return strconv.AppendUint(append(dst, key...), n, 10)
}

func appendCount(dst []byte, key string, n uint64) []byte {
	if n == 0 {
		return dst
	}
	return appendUint(dst, key, n)
}

func appendBool(dst []byte, key string, b bool) []byte {
	return strconv.AppendBool(append(dst, key...), b)
}

func appendFlag(dst []byte, text string, b bool) []byte {
	if !b {
		return dst
	}
	return append(dst, text...)
}
