// Package plot draws run records: percentile curves, time series and bars of
// reply codes, as SVG and PNG. Charts are plain data here; what they show is
// chosen by bench/report. Drawing is gonum's; the colours are Okabe and Ito's,
// which people with any colour vision can tell apart, and every line has its
// own dash as well. The same data always gives the same bytes.
//
// It leaves out pages (bench/report) and statistics (bench/stat).
package plot
