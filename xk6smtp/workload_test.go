package xk6smtp

import (
	"strings"
	"testing"
)

func TestAWorkloadDrawsTheSameInEveryVU(t *testing.T) {
	const script = `
		const w = new Workload({ rate: 50, seed: 7, profile: 'SPECmail2001 profile' });
		let n = 0, inside = true;
		const seen = new Set();
		for (let i = 0; i < 400; i++) {
			const due = w.slot(i);
			n += due.length;
			due.forEach((m, k) => {
				inside = inside && m.at >= 0 && m.at < 20 && m.id === i + '-' + k && w.sizes.includes(m.size) && m.recipients >= 1 && m.recipients <= 20;
				seen.add(m.id);
			});
		}
		return JSON.stringify([w.rate, w.sizes, n === seen.size, n > 300 && n < 500, inside, w.slot(3)])`
	first, second := newVU(t).activate().run(script), newVU(t).activate().run(script)
	if want := "[50,[1024,2048,3072,4096,5120,6144,10240,102400,1024000,2739200],true,true,true,"; first != second || !strings.HasPrefix(first, want) {
		t.Errorf("%s\n%s\nwant twice %s...", first, second, want)
	}
	v := newVU(t).activate()
	if got := v.run("return new Workload({ perDay: 2400000, profile: 'SPECmail2001 profile' }).rate"); got != "100" {
		t.Errorf("15%% of 2,400,000 messages in an hour are %s/s, want 100", got)
	}
	if got := v.run("const w = new Workload({ rate: 0.5, sizes: [[500, 1]], recipients: [[3, 2], [4, 0]] }); for (let i = 0; ; i++) { for (const m of w.slot(i)) return [m.size, m.recipients, m.at < 2000] }"); got != "500,3,true" {
		t.Errorf("tables of the script's own: %s", got)
	}
	if got := v.run("const w = new Workload({ rate: 1 }); w.rate = 2; w.slot = null; return w.rate"); !strings.Contains(got, "TypeError") && got != "1" {
		t.Errorf("a workload can be changed: %s", got)
	}
}

func TestWrongWorkloads(t *testing.T) {
	v := newVU(t).activate()
	for options, want := range map[string]string{
		"":                                   `Workload: option "rate" is needed`,
		"{}":                                 `Workload: option "rate" is needed`,
		"7":                                  "Workload: wants an object of options, not the number 7",
		"{rate: 0}":                          `"rate" wants a number above 0 and at most 1000000, not the number 0`,
		"{rate: NaN}":                        `"rate" wants a number above 0`,
		"{rate: '5'}":                        `"rate" wants a number above 0 and at most 1000000, not the string "5"`,
		"{rate: 1, seed: -1}":                `"seed" wants a whole number from 0`,
		"{rate: 1, profile: 'SPEC'}":         `"profile" wants a profile by its name, "SPECmail2001 profile", not the string "SPEC"`,
		"{rate: 1, perDay: 5}":               `"perDay" and "rate" exclude each other`,
		"{perDay: 5}":                        `"perDay" goes with "profile"`,
		"{rate: 1, sizes: 5}":                `"sizes" wants an array of pairs, [[value, weight], ...], not the number 5`,
		"{rate: 1, sizes: [1, 2]}":           `"sizes" wants an array of pairs`,
		"{rate: 1, sizes: [[1, 'x']]}":       `"sizes[0][1]" wants a weight, a number from 0, not the string "x"`,
		"{rate: 1, sizes: []}":               `"sizes" wants 1 to 1000 pairs, not 0`,
		"{rate: 1, sizes: [[0, 1]]}":         `"sizes[0][0]" wants a whole number from 1 to`,
		"{rate: 1, recipients: [[1001, 1]]}": `"recipients" wants values from 1 to 1000, not 1001`,
		"{rate: 1, recipients: [[1, 1], [1, 2]]}":  `"recipients" has the value 1 twice`,
		"{rate: 1, recipients: [[1, 0], [2, -0]]}": `"recipients" wants weights with a finite sum above 0`,
	} {
		if got := v.run("return new Workload(" + options + ")"); !strings.Contains(got, want) || !strings.Contains(got, "TypeError") {
			t.Errorf("new Workload(%s): %s, want %s", options, got, want)
		}
	}
	if got := v.run("return new Workload({ rate: 1 }).slot(-1)"); !strings.Contains(got, `slot: option "n" wants a whole number from 0`) {
		t.Errorf("slot(-1): %s", got)
	}
}
