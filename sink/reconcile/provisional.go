package reconcile

// Provisional passes on what is known so far of the units of a token, in the order of their claims, and reports whether the token was
// claimed. The fates are those that Finish would give if nothing more came, but for Lost: while more may come a unit is Undetermined.
// Replies that nothing has settled yet count as unknown. The unit is valid during the call only.
func (j *Judge) Provisional(token string, each func(*Unit)) bool {
	j.idBuf = appendID(j.idBuf[:0], []byte(token))
	m := j.tokens.message(&j.texts, j.idBuf)
	if m < 0 {
		return false
	}
	var view Unit
	for i := j.messages.at(m).first; i >= 0; i = j.units.at(i).next {
		u := j.units.at(i)
		fate, _ := j.weigh(i, u, false)
		view.reset()
		j.describe(u, fate, &view)
		each(&view)
	}
	return true
}
