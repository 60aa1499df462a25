package storm

import (
	"errors"
	"os"
)

// write writes record, summary, the sink's counts, and the page.
func (c *cell) write(r *Record) error {
	err := errors.Join(r.Write(c.path(RecordFile)), c.out.JSON(summaryFile, r.Judgement), c.out.JSON(sinkFile, c.hop.counts))
	if err != nil {
		return err
	}
	page, err := os.Create(c.path(PageFile))
	if err != nil {
		return err
	}
	return errors.Join(WritePage(page, r), page.Close())
}
