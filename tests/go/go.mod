module wakefultest

go 1.19
