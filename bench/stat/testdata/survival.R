# Cumulative incidence by Aalen and Johansen: survfit of the package survival, with its infinitesimal jackknife.
# Rscript survival.R > survival.csv
suppressPackageStartupMessages(library(survival))
set.seed(20261129)
num <- function(v) paste(sprintf("%.15g", v), collapse = " ")
full <- function(v) paste(sprintf("%.17g", v), collapse = " ")
cat("name,time,cause,times,share1,share2,waiting,se1,se2\n")
one <- function(name, time, cause) {
  f <- survfit(Surv(time, factor(cause, 0:2)) ~ 1)
  e <- f$n.event[, 2] + f$n.event[, 3] > 0 # times at which something ended
  cat(sprintf("%s,%s,%s,%s,%s,%s,%s,%s,%s\n", name, num(time), num(cause), num(f$time[e]), full(f$pstate[e, 2]), full(f$pstate[e, 3]), full(f$pstate[e, 1]),
    full(f$std.err[e, 2]), full(f$std.err[e, 3])))
}
for (n in c(5, 12, 40)) for (censored in c(0, 0.2, 0.5)) {
  cause <- ifelse(runif(n) < censored, 0, 1 + rbinom(n, 1, 0.3))
  one(sprintf("%d messages of %g censored", n, censored), round(rexp(n, 1 / 30), 3), cause)
  one(sprintf("%d messages of %g censored with ties", n, censored), 1 + rpois(n, 4), cause)
}
one("cause 2 never", c(1, 2, 3, 4), c(1, 1, 0, 1))
one("all censored but one", c(5, 5, 5, 2), c(0, 0, 0, 2))
