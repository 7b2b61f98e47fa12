# METADATA
# title: Rates, prepared
# description: |
#   data.rates, and what profiles have in its place, as a decision looks them up: by action the least of what is said of it
#   and of "*". Evaluated once, when policies are loaded: nothing here may look at input. What is malformed is a limit of
#   nothing.
package dicomweb.prepared.rates

# METADATA
# description: Limits of the site by action and counter.
site := _table(data.rates)

# METADATA
# description: Limits of the certificates' names that have their own.
subjects := {name: table |
	some name, profile in data.subjects
	table := _table(profile.rates)
}

# METADATA
# description: Limits of the users that have their own.
users := {id: table |
	some id, profile in data.users
	table := _table(profile.rates)
}

# METADATA
# description: Whether there is no limit for anybody.
unlimited if {
	site == {"*": {}}
	subjects == {}
	users == {}
}

# METADATA
# description: Counters of how much was had; the others are of how often was asked.
volumes := ["bytes_hour", "patients_hour", "patient_subjects_hour"]

_table(rates) := table if {
	is_object(rates)
	table := {action: limits |
		some action in array.concat(["*"], [each | some each, _ in rates])
		limits := _limits([_scope(rates, "*"), _scope(rates, action)])
	}
} else := {"*": {"requests_minute": 0}}

_scope(rates, action) := scope if {
	scope := object.get(rates, action, {})
	is_object(scope)
} else := {"requests_minute": 0}

_limits(scopes) := {counter: least |
	some scope in scopes
	some counter, _ in scope
	least := min([_limit(each[counter]) | some each in scopes])
}

_limit(value) := value if {
	is_number(value)
	value >= 0
} else := 0
