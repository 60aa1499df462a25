package reconcile

// doubts are units that something seen may be about, which does not say which of them it is: none of them is lost. It knows them by hashes
// of their recipient, or of sender and recipient; where two collide, one too many is in doubt.
type doubts map[uint64]struct{}

// doubt puts the units in doubt that have the canonical recipient and, if it is not nil, the canonical sender.
func (d *doubts) doubt(sender, recipient []byte) {
	if *d == nil {
		*d = doubts{}
	}
	(*d)[doubtKey(sender, recipient)] = struct{}{}
}

func doubtKey(sender, recipient []byte) uint64 {
	if sender == nil {
		return addressHash(recipient)
	}
	return pairHash(sender, recipient)
}

// about reports whether the unit is in doubt.
func (d doubts) about(j *Judge, u *unit) bool {
	if len(d) == 0 {
		return false
	}
	rcpt := j.texts.get(u.recipient)
	_, is := d[doubtKey(nil, rcpt)]
	if !is {
		_, is = d[doubtKey(j.texts.get(j.messages.at(u.message).sender), rcpt)]
	}
	return is
}

// claimed reports whether a claim names the canonical recipient.
func (j *Judge) claimed(recipient []byte) bool { return j.recipient(recipient) != nil }

// recipient returns the entry of a claimed recipient: the only unit that has it, or several.
func (j *Judge) recipient(rcpt []byte) *entry {
	d := &j.recipients
	same := func(rcpt []byte) func(*entry) bool {
		return func(e *entry) bool { return j.texts.is(e.text, rcpt) }
	}
	for ; int(d.n) < j.units.n; d.n++ {
		name := j.units.at(d.n).recipient
		text := j.texts.get(name)
		if e := d.index.find(addressHash(text), same(text)); e != nil {
			e.value = several
		} else {
			d.index.add(entry{hash: addressHash(text), text: name, value: d.n})
		}
	}
	return d.index.find(addressHash(rcpt), same(rcpt))
}

// recipients finds units by their recipients, or aliases, alone. It is made when it is first asked.
type recipients struct {
	index   index // recipient -> unit, or several
	n       int32 // how many units it has
	aliases map[uint64][]int32
	seen    int32 // how many recipients and aliases were looked at
}

// aliased returns the units that have the canonical address as an alias, and perhaps others.
func (j *Judge) aliased(address []byte) []int32 {
	d := &j.recipients
	for all := &j.byUnit.entries; int(d.seen) < all.n; d.seen++ {
		e := all.at(d.seen)
		if e.text == j.units.at(e.value).recipient {
			continue
		}
		if d.aliases == nil {
			d.aliases = map[uint64][]int32{}
		}
		key := addressHash(j.texts.get(e.text))
		d.aliases[key] = append(d.aliases[key], e.value)
	}
	return d.aliases[addressHash(address)]
}
