package intake

import (
	"bufio"
	"errors"
	"io"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/klauspost/compress/zstd"
)

// ahead is how much is read at a time: of containerd's content each read is a call.
const ahead = 1 << 20

// decompress unpacks a stream of gzip or zstd, or passes one through that is neither. The caller closes it.
func decompress(packed io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(packed, ahead)
	first, err := in.Peek(10)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if compression.DetectCompression(first) != compression.Zstd {
		return compression.DecompressStream(in)
	}
	// The library's own bound is 64 GiB.
	out, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return unzstd{out}, nil
}

// Unpack unpacks a stream of gzip or zstd, or passes one through that is neither. It takes no more memory than zstd(1) does, and is an
// ErrRefused when much more comes out than honest data unpack to. The caller closes it.
func Unpack(from io.Reader) (io.ReadCloser, error) {
	packed := &counted{Reader: from}
	unpacked, err := decompress(packed)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{&bounded{unpacked, packed, 0}, unpacked}, nil
}

type unzstd struct{ *zstd.Decoder }

func (u unzstd) Read(b []byte) (int, error) {
	n, err := u.Decoder.Read(b)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		err = refuse("it is compressed so that unpacking takes more than %s of memory; compress it with a smaller window (zstd without --long)", size(maxWindow))
	}
	return n, err
}

// Close lets go of the memory.
func (u unzstd) Close() error {
	u.Decoder.Close()
	return nil
}

// counted counts what is read.
type counted struct {
	io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

// tooLarge says whether what is unpacked is larger than honest data get.
func tooLarge(unpacked, packed int64) bool {
	return unpacked > fewBytes && (unpacked-fewBytes)/maxRatio > packed
}
