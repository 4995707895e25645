m := controllers/deployment
MODULES += $(m)
$(m)_srcs := deployment.c numbers.c revision.c status.c template.c write.c
$(m)_deps := ctl kube workq json base
$(m)_logic := deployment.c numbers.c revision.c status.c template.c write.c
$(m)_tests := test/rollout.c
