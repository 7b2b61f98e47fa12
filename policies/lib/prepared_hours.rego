# METADATA
# title: Hours, prepared
# description: |
#   data.hours as a decision looks it up. Evaluated once, when policies are loaded: nothing here may look
#   at input. What is malformed is no span, and closes.
package dicomweb.prepared.hours

_days := ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

# METADATA
# description: By name and weekday, from when (inclusive) to when (exclusive). What goes over midnight is two.
named := {name: by_day |
	some name, week in data.hours
	by_day := {day: spans |
		some position, day in _days
		spans := _spans(week, position)
	}
}

_spans(week, position) := spans if {
	day := _days[position]
	yesterday := _days[(position + 6) % 7]
	until_midnight := [{"from": span.from, "to": "24:00"} |
		some span in week[day]
		_is_span(span)
		span.from > span.to
	]
	within := [{"from": span.from, "to": span.to} | some span in week[day]; _is_span(span); span.from < span.to]
	after_midnight := [{"from": "00:00", "to": span.to} |
		some span in week[yesterday]
		_is_span(span)
		span.from > span.to
	]
	spans := array.concat(array.concat(within, until_midnight), after_midnight)
}

_is_span(span) if {
	is_string(span.from)
	is_string(span.to)
	regex.match(`^([01][0-9]|2[0-3]):[0-5][0-9]$`, span.from)
	regex.match(`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`, span.to)
}
