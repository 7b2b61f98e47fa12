# METADATA
# title: Rate
# description: |
#   How much a subject asks for, as a signal: limits of data.rates, or of the subject's profile instead, hold for every
#   action ("*") or for one. What is counted is what one worker remembers, and approximate: no quota.
package dicomweb.rate

# METADATA
# description: Whether every count is below its limit.
permits(action) if {
	data.dicomweb.prepared.rates.unlimited
	is_object(input.counters)
} else if {
	is_object(input.counters)
	every counter, most in data.dicomweb.rate.limits(action) { data.dicomweb.rate.below(counter, most) }
}

# METADATA
# description: What the subject is limited to, of an action; by counter.
limits(action) := found if {
	table := data.dicomweb.rate.table
	found := object.get(table, action, table["*"])
}

# METADATA
# description: The subject's own limits by action, where its profile has some, and else those of the site.
table := own if {
	input.subject.user == null
	own := data.dicomweb.prepared.rates.subjects[input.subject.certificate.name]
} else := own if {
	data.dicomweb.prepared.users[input.subject.user.id]
	own := data.dicomweb.prepared.rates.users[input.subject.user.id]
} else := own if {
	is_string(input.subject.user.id)
	not data.dicomweb.prepared.users[input.subject.user.id]
	own := data.dicomweb.prepared.rates.users["*"]
} else := data.dicomweb.prepared.rates.site

# METADATA
# description: Whether a count is below what it may be. In Rego's order null is below every number, so both have to be one.
below(counter, most) if {
	is_number(input.counters[counter])
	is_number(most)
	input.counters[counter] < most
}

# METADATA
# title: Too many requests
# description: The subject asks more often than the site permits it, or how often it asks is not known.
# custom:
#   code: rate-exceeded
#   remedy: Wait, and ask for less at a time; if your work needs more, ask your security team.
deny contains "rate-exceeded" if not _seldom

# METADATA
# title: Too much for the last hour
# description: The subject had more, or of more patients, than the site permits it; or the patient was seen by more subjects.
# custom:
#   code: volume-exceeded
#   remedy: Wait for an hour; if your work needs more, ask your security team.
deny contains "volume-exceeded" if {
	some counter in data.dicomweb.prepared.rates.volumes
	limits(input.request.action)[counter]
	not _below[counter]
}

_seldom if {
	is_object(input.counters)
	every counter, _ in limits(input.request.action) { _held[counter] }
}

# Counters that are below their limit, or told of otherwise.
_held[counter] := true if {
	some counter in data.dicomweb.prepared.rates.volumes
}

_held[counter] := true if {
	_below[counter]
}

_below[counter] := true if {
	some counter, most in limits(input.request.action)
	below(counter, most)
}
