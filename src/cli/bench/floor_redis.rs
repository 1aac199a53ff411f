//! The floor on Redis: bare commands by a blocking client.

use std::time::Instant;

use color_eyre::eyre::eyre;
use redis::{Commands, Connection, Value};

use super::quantiles;
use super::report::Figure;

/// A body and an envelope of the sizes that the program sends.
const ENVELOPE: &str = r#"{"id":"01a1fc68-71a8-71c1-9880-be41a7e9c8ca","type":"discord_message","v":1,"source":"control_room","at":"2026-11-21T04:41:05.704Z","trace":"01a1fc68-71a8-71c1-9880-be41a7e9c8ca","priority":"medium","trust":"system"}"#;
const BODY: &str = r#"{"type":"discord_message","message_id":"120001","channel_id":"880042","channel_name":"gtm","username":"mara","user_id":"5551","content":"0","mentions_bot":false,"timestamp":"2026-03-01T09:30:00.000Z"}"#;

/// Times and rate of a relay.
#[derive(Debug, Clone, Copy)]
pub struct Relayed {
    /// From send to the last reader.
    pub times: Figure,
    /// Chains a second.
    pub rate: f64,
}

/// A blocking client with a prefix of its own.
pub struct Floor {
    client: redis::Client,
    connection: Connection,
    prefix: String,
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

impl Floor {
    /// Connects.
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub fn open(url: &str, prefix: &str) -> color_eyre::Result<Self> {
        let client = redis::Client::open(url)?;
        let connection = client.get_connection()?;
        Ok(Self { client, connection, prefix: format!("{prefix}floor:") })
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// XADD, one after the other.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn send_one_by_one(&mut self, count: usize) -> color_eyre::Result<Figure> {
        let key = self.key("send");
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let began = Instant::now();
            xadd(&key).query::<()>(&mut self.connection)?;
            times.push(began.elapsed().as_secs_f64());
        }
        Ok(quantiles(times))
    }

    /// XADD, pipelined.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn send_pipelined(&mut self, count: usize, depth: usize) -> color_eyre::Result<f64> {
        let key = self.key("send");
        let began = Instant::now();
        for _ in 0..count / depth {
            let mut pipe = redis::pipe();
            for _ in 0..depth {
                pipe.add_command(xadd(&key)).ignore();
            }
            pipe.query::<()>(&mut self.connection)?;
        }
        Ok(rate(count, began))
    }

    /// XREADGROUP of `batch` and XACK of what came, over messages that are there already.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn consume(&mut self, count: usize, batch: usize) -> color_eyre::Result<f64> {
        let key = self.key(&format!("consume-{batch}"));
        for _ in 0..count.div_ceil(500) {
            let mut pipe = redis::pipe();
            for _ in 0..500 {
                pipe.add_command(xadd(&key)).ignore();
            }
            pipe.query::<()>(&mut self.connection)?;
        }
        create_group(&mut self.connection, &key)?;
        let began = Instant::now();
        let mut done = 0;
        while done < count {
            let ids = read_ids(&mut self.connection, &key, batch)?;
            redis::cmd("XACK").arg(&key).arg("g").arg(&ids).query::<()>(&mut self.connection)?;
            done += ids.len();
        }
        Ok(rate(count, began))
    }

    /// A message, two relays and a reader, each a thread with a connection of its own; a hop is MULTI, XACK, XADD, EXEC.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn relay(&mut self, count: usize, in_flight: usize) -> color_eyre::Result<Relayed> {
        let run = format!("relay-{in_flight}-");
        let keys: Vec<String> = (0..3).map(|hop| self.key(&format!("{run}{hop}"))).collect();
        for key in &keys {
            create_group(&mut self.connection, key)?;
        }
        let batch = if in_flight == 1 { 1 } else { 64 };
        let mut threads = Vec::new();
        for hop in 0..2 {
            let (from, to) = (keys[hop].clone(), keys[hop + 1].clone());
            let mut connection = self.client.get_connection()?;
            threads.push(std::thread::spawn(move || forward(&mut connection, &from, &to, count, batch)));
        }
        let mut reader = self.client.get_connection()?;
        let last = keys[2].clone();
        // Room for one: with one in flight the sender waits for the reader.
        let (arrived, arrivals) = std::sync::mpsc::sync_channel(count.max(1));
        threads.push(std::thread::spawn(move || {
            let mut done = 0;
            while done < count {
                let ids = read_ids(&mut reader, &last, batch)?;
                for _ in &ids {
                    arrived.send(Instant::now())?;
                }
                redis::cmd("XACK").arg(&last).arg("g").arg(&ids).query::<()>(&mut reader)?;
                done += ids.len();
            }
            Ok(())
        }));
        let began = Instant::now();
        let mut times = Vec::with_capacity(count);
        if in_flight == 1 {
            for _ in 0..count {
                let sent = Instant::now();
                xadd(&keys[0]).query::<()>(&mut self.connection)?;
                times.push((arrivals.recv()? - sent).as_secs_f64());
            }
        } else {
            for _ in 0..count.div_ceil(in_flight) {
                let mut pipe = redis::pipe();
                for _ in 0..in_flight {
                    pipe.add_command(xadd(&keys[0])).ignore();
                }
                pipe.query::<()>(&mut self.connection)?;
            }
            for _ in 0..count {
                arrivals.recv()?;
            }
        }
        let rate = rate(count, began);
        for thread in threads {
            thread.join().map_err(|_| eyre!("a thread of the floor ended"))??;
        }
        Ok(Relayed { times: quantiles(times), rate })
    }

    /// Removes every key under the prefix, of the floor and of ours.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn remove_everything(&mut self) -> color_eyre::Result<()> {
        let all = format!("{}*", self.prefix.trim_end_matches("floor:"));
        let keys: Vec<String> = self.connection.scan_match(all)?.collect::<Result<_, _>>()?;
        for chunk in keys.chunks(100) {
            redis::cmd("UNLINK").arg(chunk).query::<()>(&mut self.connection)?;
        }
        Ok(())
    }
}

fn xadd(key: &str) -> redis::Cmd {
    let mut cmd = redis::cmd("XADD");
    cmd.arg(key).arg("*").arg("e").arg(ENVELOPE).arg("b").arg(BODY);
    cmd
}

fn create_group(connection: &mut Connection, key: &str) -> color_eyre::Result<()> {
    Ok(redis::cmd("XGROUP").arg("CREATE").arg(key).arg("g").arg("0").arg("MKSTREAM").query(connection)?)
}

fn forward(connection: &mut Connection, from: &str, to: &str, count: usize, batch: usize) -> color_eyre::Result<()> {
    let mut done = 0;
    while done < count {
        let ids = read_ids(connection, from, batch)?;
        done += ids.len();
        let mut pipe = redis::pipe();
        for id in ids {
            pipe.cmd("MULTI").ignore().cmd("XACK").arg(from).arg("g").arg(id).ignore();
            pipe.add_command(xadd(to)).ignore().cmd("EXEC").ignore();
        }
        pipe.query::<()>(connection)?;
    }
    Ok(())
}

/// The ids of the next messages: `[[stream, [[id, fields], …]]]`.
fn read_ids(connection: &mut Connection, key: &str, batch: usize) -> color_eyre::Result<Vec<String>> {
    let mut cmd = redis::cmd("XREADGROUP");
    cmd.arg("GROUP").arg("g").arg("c").arg("COUNT").arg(batch).arg("BLOCK").arg(0).arg("STREAMS").arg(key).arg(">");
    let read: Vec<(String, Vec<(String, Value)>)> = cmd.query(connection)?;
    Ok(read.into_iter().flat_map(|(_, entries)| entries).map(|(id, _)| id).collect())
}
