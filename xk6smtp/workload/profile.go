package workload

// Profile is a workload that somebody has described.
type Profile struct {
	Name              string
	Sizes, Recipients []Entry // octets; recipients of a message
	// PeakHour is the share of a day's messages that the busiest hour has.
	PeakHour float64
}

// specmail2001 is the mail that the benchmark SPECmail2001 offers to a server: how large messages are, how many recipients they have, and
// the busiest hour. A client sends one message a connection. What is measured with it is no SPEC result: the benchmark has mailboxes, POP3, modem speeds and rules, too.
//
// https://www.spec.org/mail2001/docs/whitepaper.html, sections 4.2 and 5.1
var specmail2001 = Profile{
	Name: "SPECmail2001 profile",
	Sizes: []Entry{
		{1 << 10, 10.20}, {2 << 10, 30.71}, {3 << 10, 20.59}, {4 << 10, 10.78}, {5 << 10, 5.88}, {6 << 10, 3.74},
		{10 << 10, 7.44}, {100 << 10, 9.79}, {1000 << 10, 0.69}, {2675 << 10, 0.18},
	},
	Recipients: []Entry{
		{1, 85.73}, {2, 1.66}, {3, 1.49}, {4, 1.34}, {5, 1.20}, {6, 1.08}, {7, 0.97}, {8, 0.88}, {9, 0.79}, {10, 0.71},
		{11, 0.64}, {12, 0.58}, {13, 0.52}, {14, 0.47}, {15, 0.42}, {16, 0.38}, {17, 0.34}, {18, 0.31}, {19, 0.28}, {20, 0.21},
	},
	PeakHour: 0.15,
}

// Profiles lists the shipped profiles. The caller must not change them.
func Profiles() []Profile { return []Profile{specmail2001} }
