# Exact rank tests without ties by R's own wilcox.test: p, Hodges-Lehmann estimate, interval and its level. R's sign is x-y: x is our B.
# Rscript ranks.R > ranks.csv
set.seed(20261127)
num <- function(v) paste(sprintf("%.15g", v), collapse = " ")
cat("name,paired,a,b,alpha,p,shift,lo,hi,level,r\n")
one <- function(name, paired, a, b, alpha) {
  unattained <- FALSE
  w <- withCallingHandlers(wilcox.test(b, a, paired = paired, exact = TRUE, conf.int = TRUE, conf.level = 1 - alpha),
    warning = function(e) {
      if (!grepl("conf.?level", conditionMessage(e))) stop(e) # no ties, please
      unattained <<- TRUE
      invokeRestart("muffleWarning")
    })
  # With conf.int=TRUE R computes the level that was had only where it can't be the one asked for; the level asked for is returned otherwise.
  cat(sprintf("%s,%s,%s,%s,%.17g,%.17g,%.17g,%.17g,%.17g,%.17g,%s\n", name, paired, num(a), num(b), alpha, w$p.value,
    w$estimate, w$conf.int[1], w$conf.int[2], attr(w$conf.int, "conf.level"), if (unattained) "unattained" else "attained"))
}
draw <- function(n, shift = 0) round(exp(rnorm(n, log(20) + shift, 0.2)), 6)
for (n in c(3, 4, 5, 6, 8, 10, 15, 20)) for (shift in c(0, 0.3)) {
  one(sprintf("unpaired %d+%d shift %g", n, n, shift), FALSE, draw(n), draw(n, shift), 0.05)
}
one("unpaired 5+5 Holm", FALSE, draw(5), draw(5, 0.5), 0.0125)
one("unpaired 6+6 at 90%", FALSE, draw(6), draw(6), 0.10)
one("unpaired 7+4", FALSE, draw(7), draw(4, 0.2), 0.05)
one("unpaired 4+7", FALSE, draw(4), draw(7, -0.2), 0.05)
one("unpaired 40+40", FALSE, draw(40), draw(40, 0.05), 0.01)
one("unpaired 5+5 apart", FALSE, draw(5), draw(5) + 100, 0.05)
for (n in c(3, 5, 6, 7, 8, 10, 12, 20)) for (shift in c(0, 0.1)) {
  a <- draw(n)
  one(sprintf("paired %d shift %g", n, shift), TRUE, a, round(a * exp(rnorm(n, shift, 0.1)), 6), 0.05)
}
a <- draw(8)
one("paired 8 Holm", TRUE, a, round(a * exp(rnorm(8, 0.3, 0.1)), 6), 0.0125)
a <- draw(9)
one("paired 9 at 90%", TRUE, a, round(a * exp(rnorm(9, 0.02, 0.1)), 6), 0.10)
