# METADATA
# title: Hours
# description: |
#   Working hours as a signal: a role that names hours of data.hours counts within them alone. They close and never open.
package dicomweb.hours

# METADATA
# description: Whether a role names no hours, or it is now within them by the site's own time.
open(role) if {
	object.get(role, "hours", "*") == "*"
} else if {
	some span in data.dicomweb.prepared.hours.named[role.hours][input.environment.local.weekday]
	span.from <= input.environment.local.time
	input.environment.local.time < span.to
}

# METADATA
# title: Your role does not count at this time
# description: A role would permit the action for the purpose, but not at this hour of this day.
# custom:
#   code: outside-hours
#   remedy: Ask again within your working hours; or ask your security team for a role of the service on duty.
deny contains "outside-hours" if {
	count(data.dicomweb.lib.subject.suited) == 0
	permitted := data.dicomweb.lib.subject.permitted
	count([role | some role in permitted; open(role)]) < count(permitted)
}
