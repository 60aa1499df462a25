# Exact rank tests with ties by the package coin. x is our B: coin's shift is that of the first level of the factor against the second.
# Rscript ties.R > ties.csv
suppressPackageStartupMessages(library(coin))
set.seed(20261128)
num <- function(v) paste(sprintf("%.15g", v), collapse = " ")
cat("name,paired,a,b,alpha,p,less,greater,shift,lo,hi\n")
unpaired <- function(name, a, b, alpha = 0.05) {
  d <- data.frame(y = c(b, a), side = factor(rep(c("B", "A"), c(length(b), length(a))), levels = c("B", "A")))
  test <- function(alternative) wilcox_test(y ~ side, data = d, distribution = exact(algorithm = "auto"), alternative = alternative, conf.int = alternative == "two.sided", conf.level = 1 - alpha)
  w <- test("two.sided")
  ci <- confint(w)
  cat(sprintf("%s,FALSE,%s,%s,%.17g,%.17g,%.17g,%.17g,%.17g,%.17g,%.17g\n", name, num(a), num(b), alpha, pvalue(w), pvalue(test("less")), pvalue(test("greater")),
    ci$estimate, ci$conf.int[1], ci$conf.int[2]))
}
# Zeros are Pratt's. coin makes no interval of a signed-rank test.
paired <- function(name, a, b) {
  p <- function(alternative) pvalue(wilcoxsign_test(b ~ a, distribution = "exact", zero.method = "Pratt", alternative = alternative))
  cat(sprintf("%s,TRUE,%s,%s,0.05,%.17g,%.17g,%.17g,NaN,NaN,NaN\n", name, num(a), num(b), p("two.sided"), p("less"), p("greater")))
}
for (n in c(5, 6, 8, 10)) for (shift in c(0, 1, 2)) unpaired(sprintf("ties %d+%d shift %d", n, n, shift), 20 + rpois(n, 3), 20 + shift + rpois(n, 3))
unpaired("ties within A only", c(1, 1, 2, 2, 3, 3), c(4.5, 5.5, 6.5, 7.5, 2.5, 8.5))
unpaired("a value on both sides", c(1.00, 1.01, 1.02, 1.03, 1.04), c(1.04, 1.05, 1.06, 1.07, 1.08))
unpaired("ties 7+4", 20 + rpois(7, 2), 21 + rpois(4, 2))
unpaired("ties 4+9", 20 + rpois(4, 2), 21 + rpois(9, 2))
unpaired("ties 12+12 at 90%", 20 + rpois(12, 3), 21 + rpois(12, 3), 0.10)
for (n in c(6, 8, 10, 12)) for (shift in c(0, 1)) { a <- 20 + rpois(n, 4); paired(sprintf("pairs with zeros and ties %d shift %d", n, shift), a, a + shift + sample(-2:2, n, TRUE)) }
paired("pairs in tenths", c(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), c(0.3, 0.4, 0.5, 0.3, 0.7, 0.9, 0.9))
