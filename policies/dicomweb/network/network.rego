# METADATA
# title: Network
# description: |
#   The network as a signal: a role that names networks counts from within them alone. They close and never open: nobody
#   may do anything because of where the request comes from.
package dicomweb.network

# METADATA
# description: Whether a role names no networks, or the request comes from one of them.
open(role) if {
	object.get(role, "networks", "*") == "*"
} else if {
	is_array(role.networks)
	input.environment.network != ""
	input.environment.network in role.networks
}

# METADATA
# title: Your role does not count from this network
# description: A role would permit the action for the purpose, but not from where the request comes.
# custom:
#   code: network-not-permitted
#   remedy: Ask from a network of your site that the role names; or ask your security team.
deny contains "network-not-permitted" if {
	count(data.dicomweb.lib.subject.suited) == 0
	permitted := data.dicomweb.lib.subject.permitted
	count([role | some role in permitted; open(role)]) < count(permitted)
}
