package plan

import (
	"path/filepath"
	"slices"
)

// ShippedPlans are the files of the plans that are built in, but for the storms of smtpbench.
func ShippedPlans() ([]string, error) {
	plans, err := filepath.Glob("../../scripts/plans/*.yaml")
	if err != nil {
		return nil, err
	}
	providers, err := filepath.Glob("../../scripts/plans/providers/*.yaml")
	return slices.Concat(plans, providers), err
}
