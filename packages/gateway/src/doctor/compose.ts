/** The commands of the stack, as docker-compose.federated.yml names its services. */

const stack = "docker compose -f docker-compose.federated.yml --profile federated"

type Service = "postgres-federated" | "valkey-federated" | "step-ca"

export const upCommand = (service: Service): string => `${stack} up -d ${service}`

/** Each boot of the CA brings ca.json and its templates back into order. */
export const restartCommand = (service: Service): string => `${stack} restart ${service}`
