// Marp as this course uses it: mathematics as SVG, no emoji pictures from a server, HTML for columns.
export default {
  html: true,
  options: {
    math: "mathjax",
    emoji: { shortcode: false, unicode: false },
    markdown: { linkify: false, typographer: false },
  },
};
