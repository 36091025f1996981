// What others would begin with: Fastify and Twilio's own library check the signature, and nothing is kept.
const [url, token] = process.argv.slice(2);
const fastify = require('fastify')();
const { validateRequest } = require('twilio');

fastify.register(require('@fastify/formbody'));
fastify.post('/taskrouter/events', async (request, reply) => {
  const isSigned = validateRequest(token, request.headers['x-twilio-signature'], url, request.body);
  return reply.code(isSigned ? 204 : 403).send();
});
fastify.listen({ host: '127.0.0.1', port: 0 }).then((address) => console.log(address));
