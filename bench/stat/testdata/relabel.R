# Tests that relabel whole runs, by combn: the distance of mean shares, and the largest rank statistic over columns (a shift function).
# A row of a side is a run; runs are separated by ';'. Rscript relabel.R > relabel.csv
set.seed(20261201)
num <- function(m) paste(apply(m, 1, function(v) paste(sprintf("%.15g", v), collapse = " ")), collapse = ";")
cat("name,test,paired,a,b,statistic,p\n")
labels <- function(n, m) combn(n + m, m, simplify = FALSE)
flips <- function(n) lapply(0:(2^n - 1), function(k) { s <- bitwAnd(bitwShiftR(k, 0:(n - 1)), 1); ifelse(s == 1, 1:n, n + 1:n) })
distance <- function(runs, inB) { a <- colMeans(runs[-inB, , drop = FALSE]); b <- colMeans(runs[inB, , drop = FALSE]); d <- (a - b)^2 / (a + b); sum(d[a + b > 0]) }
shares <- function(n, size, p) t(rmultinom(n, size, p)) / size
dist <- function(name, paired, a, b) {
  runs <- rbind(a, b); n <- nrow(a); m <- nrow(b)
  all <- sapply(if (paired) flips(n) else labels(n, m), function(inB) distance(runs, inB))
  d <- distance(runs, n + 1:m)
  cat(sprintf("%s,distance,%s,%s,%s,%.17g,%.17g\n", name, paired, num(a), num(b), d, mean(all >= d - 1e-12)))
}
for (n in c(4, 5, 6)) {
  dist(sprintf("same %d", n), FALSE, shares(n, 500, c(90, 5, 3, 2)), shares(n, 500, c(90, 5, 3, 2)))
  dist(sprintf("more 451 %d", n), FALSE, shares(n, 500, c(90, 5, 3, 2)), shares(n, 500, c(86, 9, 3, 2)))
  dist(sprintf("blocks %d", n + 2), TRUE, shares(n + 2, 500, c(90, 5, 3, 2)), shares(n + 2, 500, c(87, 8, 3, 2)))
}
dist("one code is missing", FALSE, shares(5, 200, c(97, 3, 0)), shares(5, 200, c(97, 0, 3)))
largest <- function(runs, inB) max(abs(apply(runs, 2, function(v) sum(rank(v)[inB]) - length(inB) * (length(v) + 1) / 2)))
largestPaired <- function(d, sign) max(abs(apply(d, 2, function(v) sum(sign * sign(v) * rank(abs(v))) / 2)))
shift <- function(name, paired, a, b) {
  n <- nrow(a)
  if (paired) {
    s <- largestPaired(b - a, rep(1, n))
    all <- sapply(0:(2^n - 1), function(k) largestPaired(b - a, 1 - 2 * bitwAnd(bitwShiftR(k, 0:(n - 1)), 1)))
  } else {
    runs <- rbind(a, b); s <- largest(runs, n + 1:nrow(b)); all <- sapply(labels(n, nrow(b)), function(inB) largest(runs, inB))
  }
  cat(sprintf("%s,deciles,%s,%s,%s,%.17g,%.17g\n", name, paired, num(a), num(b), s, mean(all >= s - 1e-9)))
}
deciles <- function(n, shift = 0, tail = 1) t(replicate(n, round(quantile(exp(rnorm(50, 3 + shift + rnorm(1, 0, 0.1), 0.5 * tail)), 1:9 / 10, type = 1), 3)))
for (n in 4:6) { shift(sprintf("same %d", n), FALSE, deciles(n), deciles(n)); shift(sprintf("longer tail %d", n), FALSE, deciles(n), deciles(n, 0, 1.4)) }
for (n in 6:8) { a <- deciles(n); shift(sprintf("blocks %d", n), TRUE, a, round(a * exp(rnorm(n, 0.1, 0.1)), 3)) }
