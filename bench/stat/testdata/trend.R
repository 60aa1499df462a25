# Kendall's S over an order: cor.test without ties; with ties by listing all orders. Several groups: the sum of S, by listing all pairs of orders.
# Rscript trend.R > trend.csv
set.seed(20261130)
num <- function(v) paste(sprintf("%.15g", v), collapse = " ")
cat("name,first,second,p\n")
orders <- function(v) if (length(v) <= 1) list(v) else do.call(c, lapply(seq_along(v), function(i) lapply(orders(v[-i]), function(rest) c(v[i], rest))))
S <- function(v) { s <- 0; for (i in seq_along(v)) for (j in seq_len(i - 1)) s <- s + sign(v[i] - v[j]); s }
listed <- function(v) sapply(orders(v), S)
p <- function(s, all) min(1, 2 * mean(all <= s), 2 * mean(all >= s))
for (n in c(4, 6, 8, 12, 20)) { v <- round(rnorm(n) + (1:n) / n, 4); cat(sprintf("untied %d,%s,,%.17g\n", n, num(v), cor.test(1:n, v, method = "kendall", exact = TRUE)$p.value)) }
for (n in 3:7) { v <- rpois(n, 2) + (1:n) %/% 3; cat(sprintf("tied %d,%s,,%.17g\n", n, num(v), p(S(v), listed(v)))) }
for (n in 3:6) { v <- rpois(n, 2) + (1:n) %/% 2; w <- rpois(5, 3) + (1:5) %/% 2; cat(sprintf("two groups %d+5,%s,%s,%.17g\n", n, num(v), num(w), p(S(v) + S(w), as.vector(outer(listed(v), listed(w), "+"))))) }
