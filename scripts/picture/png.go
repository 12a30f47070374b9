package main

import (
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"slices"
)

// shrink writes a picture anew with 256 colours: a page has few, and shades of them at the edges of letters.
func shrink(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	whole, err := png.Decode(f)
	if err != nil {
		return err
	}
	if err := os.Remove(file); err != nil {
		return err
	}
	small, err := os.Create(file)
	if err != nil {
		return err
	}
	defer small.Close()
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	return encoder.Encode(small, reduced(whole))
}

func reduced(whole image.Image) *image.Paletted {
	count := map[color.RGBA]int{}
	coarse := func(c color.Color) color.RGBA { // without it the shades of grey would crowd out what has a colour
		r, g, b, _ := c.RGBA()
		return color.RGBA{five(r), five(g), five(b), 255}
	}
	bounds := whole.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[coarse(whole.At(x, y))]++
		}
	}
	frequent := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	palette := color.Palette{}
	for _, c := range frequent[:min(len(frequent), 256)] {
		palette = append(palette, c)
	}
	out := image.NewPaletted(bounds, palette)
	draw.Draw(out, bounds, whole, bounds.Min, draw.Src)
	return out
}

// five keeps five bits of a colour's sixteen, and makes eight of them, white white and black black.
func five(of uint32) uint8 {
	bits := of >> 11
	return uint8(bits<<3 | bits>>2)
}
