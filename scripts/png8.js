// Runs in the browser: a PNG of many colours in, a palette of at most 256 and one index per pixel out.
async (encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([pixel]) => pixel);
  const channels = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
  const chosen = palette.map(channels);
  const index = new Map(palette.map((pixel, at) => [pixel, at]));
  const nearest = (pixel) => {
    const [r, g, b] = channels(pixel);
    let best = 0, least = Infinity;
    chosen.forEach(([x, y, z], at) => {
      const distance = (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
      if (distance < least) { least = distance; best = at; }
    });
    index.set(pixel, best);
    return best;
  };
  const out = new Uint8Array(pixels.length);
  pixels.forEach((pixel, at) => { out[at] = index.get(pixel) ?? nearest(pixel); });
  let text = "";
  for (let at = 0; at < out.length; at += 32768) text += String.fromCharCode(...out.subarray(at, at + 32768));
  return { width, height, palette: chosen.flat(), indices: btoa(text) };
}
