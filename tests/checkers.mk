# Tools that look for what tests alone do not see. Each is proven to see it: memcheck, asan, tsan and cancellation report
# programs with a fault first, or fail.

.PHONY: memcheck asan tsan loom miri cancellation
memcheck: include/sendfd.h  ## the C tests under valgrind
	tests/checkers/c memcheck

asan: include/sendfd.h  ## the C tests with AddressSanitizer and LeakSanitizer in them and in the library
	tests/checkers/c asan

tsan: include/sendfd.h  ## the C tests with ThreadSanitizer in them, in the library and in Rust's own
	tests/checkers/c tsan

cancellation: all  ## the C tests, in which the library may make no call at which a thread can be cancelled
	tests/checkers/cancellation

loom:  ## what threads share in the core, in every order of their steps
	tests/checkers/loom

miri:  ## what of the core makes no system calls, under Miri
	tests/checkers/miri

.PHONY: fuzz test-fuzz test-memcheck test-cancellation
FUZZ_SECONDS ?= 60
fuzz:  ## each fuzz target for FUZZ_SECONDS=60
	fuzz/run $(FUZZ_SECONDS)

test-fuzz:  ## the fuzzers' corpus once
	cd fuzz && CARGO_TARGET_DIR=$(abspath $(CARGO_OUT))/fuzz $(CARGO) test --locked -q

test-memcheck: setup include/sendfd.h  ## some of the C tests under valgrind
	@if command -v valgrind >/dev/null; \
	then tests/checkers/c memcheck promises_address promises_mailbox sizes errors_recv errors_send; \
	else echo "skipped: $@ needs valgrind"; fi

test-cancellation: all  ## some of the C tests, in which the library may make no call at which a thread can be cancelled
	tests/checkers/cancellation cancel answers outbox outbox_open outbox_process raw_clone thread_ends
