module godwit/test/bench/rivals/s5cmd

go 1.26.0

require github.com/peak/s5cmd/v2 v2.3.0
