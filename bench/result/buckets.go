package result

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The geometry's buckets: bucketCount of them, in halves of halfBuckets; each half but the first two is twice as wide as the one before.
const (
	halfBuckets = 1024
	bucketCount = 23 * halfBuckets
)

// maxBucketOctets is the most that one count takes before compression.
const maxBucketOctets = 9

// inflater decodes the buckets of histograms, one after the other, in the same storage: a record has thousands of
// small ones, and a new decompressor is 40 kB. It belongs to one goroutine.
type inflater struct {
	encoded, raw []byte // as base64, and decoded
	compressed   bytes.Reader
	zlib         io.ReadCloser // nil until first used
	limited      io.LimitedReader
	header       [hdrhistogram.ENCODING_HEADER_SIZE]byte
	payload      bytes.Buffer
}

// encoding/json hands UnmarshalJSON nothing that could hold the inflater of a file.
var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// decodeBuckets decodes HdrHistogram's V2 compressed encoding, in base64. It refuses another geometry than that of records, and
// what it allocates is bounded by that.
func decodeBuckets(encoded string) (*hdrhistogram.PackedHistogram, error) {
	in := inflaters.Get().(*inflater)
	defer inflaters.Put(in)
	return in.decode(encoded)
}

func (in *inflater) decode(encoded string) (*hdrhistogram.PackedHistogram, error) {
	if err := in.open(encoded); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(in.zlib, in.header[:]); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	head := in.header[:]
	cookie := binary.BigEndian.Uint32(head)
	size := binary.BigEndian.Uint32(head[4:])           // negative ones are too large
	digits := int32(binary.BigEndian.Uint32(head[12:])) // #nosec G115 -- the encoding has them signed
	low := int64(binary.BigEndian.Uint64(head[16:]))    // #nosec G115 -- the encoding has it signed
	high := int64(binary.BigEndian.Uint64(head[24:]))   // #nosec G115 -- the encoding has it signed
	ratio := math.Float64frombits(binary.BigEndian.Uint64(head[32:]))
	switch {
	case digits != Digits || low != MinMicros || high != MaxMicros:
		return nil, fmt.Errorf("geometry is %d..%d with %d digits, want %d..%d with %d digits", low, high, digits, MinMicros, MaxMicros, Digits)
	case !isCookie(cookie, hdrhistogram.V2EncodingCookieBase):
		return nil, fmt.Errorf("buckets are in an unknown encoding (%#x)", cookie)
	case size > bucketCount*maxBucketOctets:
		return nil, fmt.Errorf("buckets take %d bytes, more than %d", size, bucketCount*maxBucketOctets)
	case ratio != 1:
		// Another program's, which is kept: only the library can set it.
		return hdrhistogram.DecodePacked([]byte(encoded))
	}
	// One octet more is asked for: the end is where the checksum is compared.
	in.limited = io.LimitedReader{R: in.zlib, N: int64(size) + 1}
	in.payload.Reset()
	if n, err := in.payload.ReadFrom(&in.limited); err != nil {
		return nil, err
	} else if n != int64(size) {
		return nil, fmt.Errorf("buckets don't take the %d bytes that their header says", size)
	}
	return readBuckets(in.payload.Bytes())
}

// open begins to inflate.
func (in *inflater) open(encoded string) (err error) {
	in.encoded = append(in.encoded[:0], encoded...)
	if in.raw, err = base64.StdEncoding.AppendDecode(in.raw[:0], in.encoded); err != nil {
		return err
	}
	const outer = 8 // cookie and length of the compressed part
	if len(in.raw) < outer {
		return fmt.Errorf("encoded buckets are %d bytes long, too short", len(in.raw))
	}
	cookie, size, compressed := binary.BigEndian.Uint32(in.raw), binary.BigEndian.Uint32(in.raw[4:]), in.raw[outer:]
	switch {
	case !isCookie(cookie, hdrhistogram.V2CompressedEncodingCookieBase):
		return fmt.Errorf("buckets are in an unknown encoding (%#x)", cookie)
	case uint64(size) > uint64(len(compressed)):
		return fmt.Errorf("compressed buckets are %d bytes long, want %d", len(compressed), size)
	}
	in.compressed.Reset(compressed[:size])
	if z, ok := in.zlib.(zlib.Resetter); ok {
		return z.Reset(&in.compressed, nil)
	}
	z, err := zlib.NewReader(&in.compressed)
	if err == nil {
		in.zlib = z
	}
	return err
}

// isCookie compares a cookie without the bits that say how counts are written.
func isCookie(got uint32, want int32) bool {
	const wordSize = 0xf0
	return int32(got&^wordSize) == want // #nosec G115 -- the encoding has it signed
}

// readBuckets reads counts in the order of their buckets; a negative one stands for as many empty buckets.
func readBuckets(counts []byte) (*hdrhistogram.PackedHistogram, error) {
	h := newBuckets()
	for i := int64(0); len(counts) > 0; {
		n, size := zigzag(counts)
		if size == 0 {
			return nil, errors.New("the count of the last bucket is cut off")
		}
		counts = counts[size:]
		step := int64(1)
		if n < 0 {
			step = -n
		}
		if step < 0 || step > bucketCount-i { // the least number has no negative
			return nil, fmt.Errorf("there are more than %d buckets", bucketCount)
		}
		if n > 0 {
			if err := h.RecordValues(lowestOf(i), n); err != nil {
				return nil, err
			}
		}
		i += step
	}
	return h, nil
}

// zigzag reads a number in the encoding of HdrHistogram: LEB128 of at most nine octets, all bits of the ninth counting,
// in which the lowest bit is the sign. It returns how many octets that was, and 0 when some are missing.
func zigzag(b []byte) (n int64, size int) {
	var u uint64
	for size < len(b) {
		octet := uint64(b[size])
		shift := 7 * size
		size++
		if size == maxBucketOctets || octet < 0x80 {
			u |= octet << shift
			return int64(u>>1) ^ -int64(u&1), size // #nosec G115 -- that is the encoding
		}
		u |= octet & 0x7f << shift
	}
	return 0, 0
}

// lowestOf is the lowest value of a bucket, by its place among all.
func lowestOf(i int64) int64 {
	if i < 2*halfBuckets {
		return i
	}
	return (halfBuckets + i%halfBuckets) << (i/halfBuckets - 1)
}
