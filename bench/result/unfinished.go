package result

// UnfinishedFile lies beside the evidence of a run that has not ended, and is its record, should it never end: who judges the evidence then
// knows that the load was not carried out.
const UnfinishedFile = "unfinished.json"

// Killed is why a run has not ended that could not say so itself.
const Killed = "smtpbench was ended from outside"

// WriteUnfinished writes a record that says why a run was not carried out. What looks like a URL's password in why is cut.
func WriteUnfinished(path, name, why string) error {
	record := New(name)
	record.Load.Interrupted, record.Load.Stopped = true, CutUserInfo(why)
	return record.Write(path)
}
