# The best split of a series by the energy distance of Matteson and James (2014), from its definition, without any shortcut.
# Rscript edivisive.R > edivisive.csv
set.seed(20261202)
num <- function(v) paste(sprintf("%.15g", v), collapse = " ")
cat("name,values,minsize,split,statistic\n")
among <- function(v) { n <- length(v); s <- 0; for (i in seq_len(n)) for (k in seq_len(i - 1)) s <- s + abs(v[i] - v[k]); s / choose(n, 2) }
Q <- function(x, y) { n <- length(x); m <- length(y); n * m / (n + m) * (2 * mean(abs(outer(x, y, "-"))) - among(x) - among(y)) }
one <- function(name, v, minsize) {
  best <- -Inf; at <- 0
  for (tau in minsize:(length(v) - minsize)) for (kappa in (tau + minsize):length(v)) {
    q <- Q(v[1:tau], v[(tau + 1):kappa])
    if (q > best) { best <- q; at <- tau }
  }
  cat(sprintf("%s,%s,%d,%d,%.17g\n", name, num(v), minsize, at, best))
}
for (n in c(6, 15, 30)) { one(sprintf("noise %d", n), round(rnorm(n, 20), 3), 2); one(sprintf("step %d", n), round(rnorm(n, 20 + 3 * (1:n > n / 3)), 3), 3) }
one("there and back", round(rnorm(24, 20 + 4 * (1:24 > 10 & 1:24 <= 16)), 3), 3)
one("wider", round(rnorm(30, 20, ifelse(1:30 > 15, 4, 0.5)), 3), 3)
