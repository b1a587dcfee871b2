# A thin front of Meson: one folder per build type, side by side.
#   make            release build in build/         make debug|asan|tsan|cover|fuzz-build   build-NAME/
#   make check      all tests                       make lint    formatting and checkers
#   make cover      line and branch coverage
#   make fuzz T=name [SECONDS=n]                    make nightly longer runs
MESON ?= meson
NINJA ?= ninja
setup = test -f $(1)/build.ninja || CC=$(or $(3),$(CC)) $(MESON) setup $(1) $(2) >/dev/null

.PHONY: mutants all run check debug asan tsan cover fuzz-build fuzz lint install nightly bench clean deps
all: build/build.ninja
	@$(NINJA) -C build
build/build.ninja:
	@scripts/deps --build-only --quiet
	@$(MESON) setup build --buildtype=release >/dev/null
deps:
	@scripts/deps
debug:
	@$(call setup,build-debug,--buildtype=debug)
	@$(NINJA) -C build-debug
asan:
	@$(call setup,build-asan,--buildtype=debug -Doptimization=1 -Dwerror=false -Db_sanitize=address$(,)undefined -Db_lundef=false)
	@$(NINJA) -C build-asan
tsan:
	@$(call setup,build-tsan,--buildtype=debug -Doptimization=1 -Dwerror=false -Db_sanitize=thread -Db_lundef=false)
	@$(NINJA) -C build-tsan
cover:
	@$(call setup,build-cover,--buildtype=debug -Db_coverage=true -Dc_args=-fprofile-update=atomic)
	@$(NINJA) -C build-cover
	@scripts/cover
fuzz-build:
	@$(call setup,build-fuzz,--buildtype=debugoptimized -Db_sanitize=address$(,)undefined -Db_lundef=false -Dwerror=false -Dfuzz=true,clang)
	@$(NINJA) -C build-fuzz
fuzz: fuzz-build
	@scripts/fuzz $(or $(T),$(error make fuzz T=name [SECONDS=n])) $(or $(SECONDS),60)
run: all
	@scripts/deps --quiet
	@build/ashlar demo
check: all
	@scripts/deps --quiet
	@scripts/check
lint: all
	@scripts/deps --lint --quiet
	@scripts/lint
install: all
	@$(MESON) install -C build
nightly: all
	@scripts/nightly
bench: all
	@tests/perf/bench
mutants: all
	@tests/mutants/mutants --results build/mutants/results.json
clean:
	rm -rf build build-*
, := ,
