# Hopline on this machine. Everything here goes through deploy/local/bootstrap.py, which prepares what a command needs.
PYTHON ?= python3
HOPLINE := $(PYTHON) deploy/local/bootstrap.py

.PHONY: help run test check bench lock stop clean doctor logs person sentry-test

help: ## what can be said here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## prepare what is missing, start everything, show one log; Ctrl-C stops it
	@$(HOPLINE) run

test: ## all tests; pytest's arguments in ARGS="-k words"
	@$(HOPLINE) test $(ARGS)

check: ## lint, format, types, import contracts, lock files, the page's checks
	@$(HOPLINE) check

bench: ## what an answer costs; arguments in ARGS="--rounds 3"
	@$(HOPLINE) bench $(ARGS)

lock: ## write requirements/*.txt from the pyproject files; UPGRADE=1 takes the newest versions
	@$(HOPLINE) lock $(if $(UPGRADE),--upgrade=1)

stop: ## stop the Hopline that runs on this state directory
	@$(HOPLINE) stop

clean: ## remove what `make run` makes again; DATA=1 removes conversations and accounts too
	@$(HOPLINE) clean $(if $(DATA),--data=1)

doctor: ## what is missing, who has a port, which service is not ready and why
	@$(HOPLINE) doctor

logs: ## the last lines, and what comes; NAME=chat-worker for one process
	@$(HOPLINE) logs $(if $(NAME),--name=$(NAME))

person: ## NAME=anna: one more person and their API key
	@$(if $(NAME),,$(error say who: make person NAME=anna))$(HOPLINE) person '$(NAME)'

sentry-test: ## every process raises an error on purpose and says what it sent; URL=https://… for a gateway elsewhere
	@$(HOPLINE) sentry-test $(if $(URL),--url='$(URL)')
